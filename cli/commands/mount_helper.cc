#include "cli/commands/mount_helper.h"

#include <algorithm>

namespace hearth::cli {
namespace {

constexpr std::string_view scheme = "hearth://";

Error usage(std::string message) {
  return Error(Code::invalid_argument, std::move(message) + "; usage: mount.hearth hearth://host:port/subtree MOUNTPOINT [-o OPTIONS]");
}

}  // namespace

Result<MountSource> parse_mount_source(std::string_view text) {
  if (text == "hearth" || text == "none") return MountSource{.master = "", .subtree = "/"};
  if (!text.starts_with(scheme)) {
    return usage("\"" + std::string(text) + "\" is not a source of type hearth");
  }
  text.remove_prefix(scheme.size());
  const auto slash = std::min(text.find('/'), text.size());
  MountSource source{.master = std::string(text.substr(0, slash)), .subtree = std::string(text.substr(slash))};
  if (source.subtree.empty()) source.subtree = "/";
  // The port may be left out.
  const auto bracket = source.master.find_last_of(']');
  const auto colon = source.master.find(':', bracket == std::string::npos ? 0 : bracket);
  if (!source.master.empty() && colon == std::string::npos) source.master += ":19800";
  return source;
}

Result<std::vector<std::string>> mount_helper_words(const std::vector<std::string>& words) {
  std::vector<std::string> places;
  std::string options;
  bool fake = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.size() < 2 || word[0] != '-') {
      places.push_back(word);
      continue;
    }
    if (word == "--help") return std::vector<std::string>{"help", "mount"};
    for (std::size_t k = 1; k < word.size(); ++k) {
      const char letter = word[k];
      if (letter == 'f') fake = true;
      if (letter == 's' || letter == 'f' || letter == 'n' || letter == 'v') continue;
      if (letter != 'o' && letter != 'N' && letter != 't') return usage("-" + std::string(1, letter) + " is not known");
      if (k + 1 == word.size() && i + 1 == words.size()) return usage("-" + std::string(1, letter) + " needs a value");
      const std::string value = k + 1 < word.size() ? word.substr(k + 1) : words[++i];
      if (letter == 'o') options += (options.empty() ? "" : ",") + value;
      break;
    }
  }
  if (places.size() != 2) return usage("a source and a mount point are needed");
  TRY(source, parse_mount_source(places[0]));
  if (fake) return std::vector<std::string>();
  std::vector<std::string> out{"mount", "--subtree=" + source.subtree, "--quiet"};
  if (!source.master.empty()) out.push_back("--master=" + source.master);
  if (!options.empty()) out.push_back("--options=" + options);
  out.insert(out.end(), {"--", places[1]});
  return out;
}

}  // namespace hearth::cli
