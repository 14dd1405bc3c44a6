// The mode of chmod(1): octal, or words such as u+x,go-w,a=rX.
//
// Threads: plain values.
#pragma once

#include <hearth/result.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace hearth::cli {

class ModeWords {
 public:
  // invalid_argument says what a mode looks like.
  static Result<ModeWords> parse(std::string_view text);

  enum class Kind : std::uint8_t { file, directory };
  // What becomes of `mode` (07777). Words without u, g, o or a leave alone what the umask holds back.
  std::uint32_t applied_to(std::uint32_t mode, Kind kind, std::uint32_t umask) const;

 private:
  struct Step {
    std::uint32_t who = 0;      // of 0700, 0070, 0007
    bool by_umask = false;
    char operation = '=';       // + - =
    std::uint32_t bits = 0;     // of rwx, three times
    std::uint32_t special = 0;  // of 07000
    bool search = false;        // X: x for directories, and where somebody has x already
    char copied_from = 0;       // u, g, o: as they are now
  };
  static Result<Step> parse_step(std::string_view who, std::string_view rest, std::string_view text);
  static std::uint32_t wanted(const Step& step, std::uint32_t mode, Kind kind);

  bool is_octal_ = false;
  std::uint32_t octal_ = 0;
  std::vector<Step> steps_;
};

}  // namespace hearth::cli
