#include "fuse/mount.h"

#include "common/units.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

namespace hearth {
namespace {

// One word of the list: how it is called, and what it does to the options.
struct Word {
  std::string_view name;
  std::string_view value;  // what the value is, for messages; "" = takes none
  std::function<Status(MountOptions&, std::string_view)> apply;
};

using Apply = std::function<Status(MountOptions&, std::string_view)>;

Apply set(auto MountOptions::*field, auto value) {
  return [field, value](MountOptions& options, std::string_view) {
    options.*field = value;
    return ok();
  };
}
Apply set_text(std::string MountOptions::*field) {
  return [field](MountOptions& options, std::string_view text) {
    options.*field = text;
    return ok();
  };
}
Apply set_duration(Duration MountOptions::*field) {
  return [field](MountOptions& options, std::string_view text) -> Status {
    TRY(duration, parse_duration(text));
    options.*field = duration;
    return ok();
  };
}
Apply set_size(auto MountOptions::*field, std::uint64_t least, std::uint64_t most) {
  return [field, least, most](MountOptions& options, std::string_view text) -> Status {
    TRY(size, parse_size(text));
    if (size.bytes < least || size.bytes > most) {
      return Error(Code::invalid_argument, "it must be between " + exact_size({least}) + " and " + exact_size({most}));
    }
    options.*field = static_cast<std::remove_reference_t<decltype(options.*field)>>(size.bytes);
    return ok();
  };
}
Status set_threads(MountOptions& options, std::string_view text) {
  constexpr std::size_t most = 1024;
  std::size_t threads = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (failed != std::errc() || end != text.data() + text.size() || threads == 0 || threads > most) {
    return Error(Code::invalid_argument, "it must be a number from 1 to " + std::to_string(most));
  }
  options.threads = threads;
  return ok();
}
Apply choose(auto MountOptions::*field, auto choices) {
  return [field, choices](MountOptions& options, std::string_view text) -> Status {
    std::string names;
    for (const auto& [name, value] : choices) {
      if (name == text) {
        options.*field = value;
        return ok();
      }
      names += (names.empty() ? "" : ", ") + std::string(name);
    }
    return Error(Code::invalid_argument, "it must be one of " + names);
  };
}

const std::vector<Word>& known_words() {
  using O = MountOptions;
  constexpr std::array<std::pair<std::string_view, O::Passthrough>, 3> passthrough{
      {{"attempt", O::Passthrough::attempt}, {"off", O::Passthrough::off}, {"require", O::Passthrough::require}}};
  constexpr std::array<std::pair<std::string_view, O::Prefetch>, 2> prefetch{
      {{"on_open", O::Prefetch::on_open}, {"off", O::Prefetch::off}}};
  constexpr std::array<std::pair<std::string_view, O::Locks>, 2> locks{
      {{"cluster", O::Locks::cluster}, {"local", O::Locks::local}}};
  constexpr std::uint64_t kib = 1024;
  static const std::vector<Word> words{
      {"ro", "", set(&O::writing, O::Writing::refuse)},
      {"writable", "", set(&O::writing, O::Writing::allow)},
      {"allow_other", "", set(&O::allow_other, O::AllowOther::yes)},
      {"noallow_other", "", set(&O::allow_other, O::AllowOther::no)},
      {"noexec", "", set(&O::execute, O::Execute::refuse)},
      {"exec", "", set(&O::execute, O::Execute::allow)},
      {"nonempty", "", set(&O::occupied, O::Occupied::allow)},
      {"master", "host:port or unix:/path", set_text(&O::master)},
      {"fsname", "a name for df and findmnt", set_text(&O::fsname)},
      {"subtree", "a path of the namespace", set_text(&O::subtree)},
      {"passthrough", "attempt, off or require", choose(&O::passthrough, passthrough)},
      {"prefetch", "on_open or off", choose(&O::prefetch, prefetch)},
      {"locks", "cluster or local", choose(&O::locks, locks)},
      {"prefetch_max", "a size like 64MiB", set_size(&O::prefetch_max_bytes, 0, UINT64_MAX)},
      {"max_read", "a size like 1MiB", set_size(&O::max_read_bytes, 4 * kib, kib * kib)},
      {"readahead", "a size like 4MiB", set_size(&O::readahead_bytes, 0, 1024 * kib * kib)},
      {"threads", "a number", set_threads},
      {"entry_timeout", "a duration like 1s", set_duration(&O::entry_timeout)},
      {"attr_timeout", "a duration like 1s", set_duration(&O::attr_timeout)},
      {"negative_timeout", "a duration like 1s", set_duration(&O::negative_timeout)},
      {"interrupt_grace", "a duration like 200ms", set_duration(&O::interrupt_grace)},
      {"busy_grace", "a duration like 5s", set_duration(&O::busy_grace)},
  };
  return words;
}

// Words of mount(8), libmount and systemd that say nothing to a file system, or what this one always does.
bool is_for_somebody_else(std::string_view name) {
  constexpr std::array words{"rw",      "defaults",   "auto",       "noauto",   "user",    "users",   "nouser", "owner",
                             "group",   "nofail",     "_netdev",    "nosuid",   "nodev",   "async",   "atime",  "noatime",
                             "relatime", "norelatime", "strictatime", "lazytime", "nolazytime", "diratime", "nodiratime",
                             "default_permissions"};
  return name.starts_with("x-") || name.starts_with("X-") || name.starts_with("comment") ||
         std::find(words.begin(), words.end(), name) != words.end();
}

// Levenshtein's distance.
std::size_t distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t changed = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

Error unknown_word(std::string_view name) {
  const auto& words = known_words();
  const auto nearest = std::min_element(words.begin(), words.end(), [name](const Word& one, const Word& other) {
    return distance(name, one.name) < distance(name, other.name);
  });
  return Error(Code::invalid_argument, "mount option '" + std::string(name) + "' is not known; did you mean '" +
                                           std::string(nearest->name) + "'?");
}

// Cuts at commas; "\," is a comma and "\\" a backslash.
std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == ',' || text[i + 1] == '\\')) {
      parts.back() += text[++i];
    } else if (text[i] == ',') {
      parts.emplace_back();
    } else {
      parts.back() += text[i];
    }
  }
  return parts;
}

Status apply_word(MountOptions& options, std::string_view text) {
  const auto equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  const bool has_value = equals != std::string_view::npos;
  if (is_for_somebody_else(name)) return ok();
  if (name == "suid" || name == "dev") {
    return Error(Code::invalid_argument, "mount option '" + std::string(name) + "' is refused: a Hearth mount is always nosuid and nodev");
  }
  const auto& words = known_words();
  const auto word = std::find_if(words.begin(), words.end(), [name](const Word& known) { return known.name == name; });
  if (word == words.end()) return unknown_word(name);
  const std::string_view value = has_value ? text.substr(equals + 1) : std::string_view();
  if (word->value.empty() && has_value) {
    return Error(Code::invalid_argument, "mount option '" + std::string(name) + "' takes no value");
  }
  if (!word->value.empty() && value.empty()) {
    return Error(Code::invalid_argument, "mount option '" + std::string(name) + "' needs a value: " + std::string(word->value));
  }
  auto applied = word->apply(options, value);
  if (applied) return ok();
  return std::move(applied).error().with_context("mount option '" + std::string(text) + "'");
}

}  // namespace

Result<MountOptions> parse_mount_options(std::string_view text) {
  MountOptions options;
  for (const auto& word : split(text)) {
    if (!word.empty()) CHECK_OK(apply_word(options, word));
  }
  return options;
}

}  // namespace hearth
