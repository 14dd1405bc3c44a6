// The parser, its table, and what is made from it.
#include "cli/parser/completion.h"
#include "cli/parser/help.h"
#include "cli/parser/parse.h"
#include "cli/table.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

namespace hearth::cli {
namespace {

Result<Invocation> words(std::vector<std::string> given) { return parse(hearth_program, given); }

TEST(Parser, TakesOptionsAnywhereAndInEveryForm) {
  auto parsed = words({"--json", "attach", "/data", "--block-size=4MiB", "/srv", "--metadata-ttl", "10s"});
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->command->name, "attach");
  EXPECT_EQ(parsed->arguments, (std::vector<std::string>{"/data", "/srv"}));
  EXPECT_TRUE(parsed->has("json"));
  EXPECT_EQ(parsed->size_bytes("block-size"), 4ULL << 20);
  EXPECT_EQ(parsed->duration("metadata-ttl"), std::chrono::seconds(10));
}

TEST(Parser, CombinesLettersAndTakesAttachedValues) {
  auto listed = words({"ls", "-lR", "/a"});
  ASSERT_TRUE(listed);
  EXPECT_TRUE(listed->has("long") && listed->has("recursive"));
  auto loaded = words({"load", "-j4", "/a"});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->count("jobs"), 4U);
}

TEST(Parser, GivesTheTablesDefaultWithoutCallingItGiven) {
  auto parsed = words({"attach", "/data", "/srv"});
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->has("page-size"));
  EXPECT_EQ(parsed->size_bytes("page-size"), 1ULL << 20);
  EXPECT_EQ(parsed->text("placement"), "local_first");
}

TEST(Parser, EndsOptionsAtTwoDashes) {
  auto parsed = words({"mount", "--", "-odd"});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->arguments, std::vector<std::string>{"-odd"});
}

struct Wrong {
  std::vector<std::string> words;
  std::string says;
};

TEST(Parser, SaysWhatIsWrongAndWhatWasMeant) {
  const Wrong cases[] = {
      {{}, "needs a command"},
      {{"atach", "/a", "/b"}, "did you mean `hearth attach`?"},
      {{"attach", "/a", "/b", "--metdata-ttl=1s"}, "did you mean --metadata-ttl?"},
      {{"attach", "/a"}, "`hearth attach` needs URI"},
      {{"attach", "/a", "/b", "/c"}, "does not take \"/c\""},
      {{"attach", "a", "/b"}, "starts with /"},
      {{"attach", "/a", "/b", "--block-size=64"}, "--block-size"},
      {{"attach", "/a", "/b", "--metadata-ttl=5"}, "--metadata-ttl"},
      {{"attach", "/a", "/b", "--placement=local"}, "local_first or hash"},
      {{"attach", "/a", "/b", "--placement"}, "needs a value: --placement=HOW"},
      {{"load", "/a", "-j", "many"}, "not a whole number"},
      {{"load", "/a", "-j1", "-j2"}, "given twice"},
      {{"ls", "-z"}, "no option -z"},
      {{"ls", "--long=yes"}, "takes no value"},
      {{"report", "/a"}, "takes no arguments"},
      {{"fs", "mount", "/a"}, "`hearth attach PATH URI` here"},
      {{"distributedLoad", "/a"}, "`hearth load PATH` here"},
      {{"warmup"}, "`hearth load PATH` here"},
      {{"completion", "tcsh"}, "bash, zsh or fish"},
  };
  for (const Wrong& wrong : cases) {
    auto parsed = words(wrong.words);
    ASSERT_FALSE(parsed) << wrong.says;
    EXPECT_EQ(parsed.error().code(), Code::invalid_argument);
    EXPECT_NE(parsed.error().message().find(wrong.says), std::string::npos) << parsed.error().message();
  }
}

TEST(Parser, HelpNeedsNoArguments) {
  auto parsed = words({"attach", "--help"});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->command->name, "attach");
}

TEST(Parser, TakesTheEnvironmentWhenTheFlagIsAbsentAndChecksIt) {
  ::setenv("HEARTH_TIMEOUT", "2s", 1);
  auto from_environment = words({"ls"});
  auto from_flag = words({"ls", "--timeout=3s"});
  ::setenv("HEARTH_TIMEOUT", "2", 1);
  auto wrong = words({"ls"});
  ::unsetenv("HEARTH_TIMEOUT");
  ASSERT_TRUE(from_environment && from_flag);
  EXPECT_EQ(from_environment->duration("timeout"), std::chrono::seconds(2));
  EXPECT_EQ(from_flag->duration("timeout"), std::chrono::seconds(3));
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message().find("HEARTH_TIMEOUT"), std::string::npos);
}

TEST(Table, NamesNothingTwice) {
  std::set<std::string_view> commands;
  for (const Command& command : hearth_program.commands) {
    EXPECT_TRUE(commands.insert(command.name).second) << command.name;
    std::set<std::string_view> names;
    std::set<char> letters;
    for (auto options : {hearth_program.globals, command.options}) {
      for (const Option& option : options) {
        EXPECT_TRUE(names.insert(option.name).second) << command.name << " --" << option.name;
        const bool is_new = option.letter == 0 || letters.insert(option.letter).second;
        EXPECT_TRUE(is_new) << command.name << " -" << option.letter;
      }
    }
  }
}

TEST(Table, HasOnlyDefaultsThatItsOwnCheckAccepts) {
  for (const Command& command : hearth_program.commands) {
    for (const Option& option : command.options) {
      EXPECT_EQ(option.value == Value::none, option.placeholder.empty()) << option.name;
      if (option.fallback.empty()) continue;
      EXPECT_TRUE(check_value(option.value, option.choices, option.fallback)) << command.name << " --" << option.name;
    }
  }
}

TEST(Table, HintsNameCommandsThatExist) {
  for (const Hint& hint : hearth_program.hints) {
    ASSERT_TRUE(hint.advice.starts_with("hearth ")) << hint.word;
    const std::string_view rest = hint.advice.substr(7);
    const std::string_view command = rest.substr(0, rest.find_first_of(" ,"));
    EXPECT_TRUE(find_command(hearth_program, command)) << hint.advice;
    for (const Command& known : hearth_program.commands) EXPECT_NE(known.name, hint.word);
  }
}

TEST(Help, ShowsEveryCommandOptionAndDefault) {
  const std::string all = program_help(hearth_program);
  for (const Command& command : hearth_program.commands) {
    EXPECT_NE(all.find("  " + std::string(command.name) + " "), std::string::npos) << command.name;
    const std::string help = command_help(hearth_program, command);
    for (const Option& option : command.options) {
      EXPECT_NE(help.find("--" + std::string(option.name)), std::string::npos) << option.name;
      const std::string fallback = option.fallback.empty() ? "" : "[" + std::string(option.fallback) + "]";
      EXPECT_NE(help.find(fallback), std::string::npos) << option.name;
    }
  }
}

TEST(Completion, NamesEveryCommandAndOptionInEachShell) {
  for (const std::string& script : {bash_completion(hearth_program), zsh_completion(hearth_program), fish_completion(hearth_program)}) {
    for (const Command& command : hearth_program.commands) {
      EXPECT_NE(script.find(command.name), std::string::npos);
      for (const Option& option : command.options) EXPECT_NE(script.find(option.name), std::string::npos) << option.name;
    }
  }
}

}  // namespace
}  // namespace hearth::cli
