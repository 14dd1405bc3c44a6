#include "cli/output/text_diff.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace hearth::cli {
namespace {

constexpr std::size_t context_lines = 3;
constexpr std::size_t max_cells = 16U << 20;  // of the table of common subsequences; beyond, all between is "changed"

using Lines = std::vector<std::string_view>;

Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

struct Edit {
  char mark;  // ' ', '-', '+'
  std::string_view line;
};

// The middle of both texts, by their longest common subsequence.
void compare_middle(const Lines& before, const Lines& after, std::vector<Edit>& out) {
  const std::size_t rows = before.size();
  const std::size_t columns = after.size();
  if ((rows + 1) * (columns + 1) > max_cells) {
    for (const std::string_view line : before) out.push_back({'-', line});
    for (const std::string_view line : after) out.push_back({'+', line});
    return;
  }
  std::vector<std::uint16_t> common((rows + 1) * (columns + 1));  // of what follows (row, column)
  const auto at = [&](std::size_t row, std::size_t column) -> std::uint16_t& { return common[row * (columns + 1) + column]; };
  for (std::size_t row = rows; row-- > 0;) {
    for (std::size_t column = columns; column-- > 0;) {
      at(row, column) = before[row] == after[column] ? static_cast<std::uint16_t>(at(row + 1, column + 1) + 1)
                                                     : std::max(at(row + 1, column), at(row, column + 1));
    }
  }
  std::size_t row = 0;
  std::size_t column = 0;
  while (row < rows || column < columns) {
    if (row < rows && column < columns && before[row] == after[column]) {
      out.push_back({' ', before[row++]});
      ++column;
    } else if (row < rows && (column == columns || at(row + 1, column) >= at(row, column + 1))) {
      out.push_back({'-', before[row++]});
    } else {
      out.push_back({'+', after[column++]});
    }
  }
}

std::vector<Edit> edits_between(const Lines& before, const Lines& after) {
  const std::size_t shorter = std::min(before.size(), after.size());
  std::size_t head = 0;
  while (head < shorter && before[head] == after[head]) ++head;
  std::size_t tail = 0;
  while (tail < shorter - head && before[before.size() - 1 - tail] == after[after.size() - 1 - tail]) ++tail;
  const auto cut = [&](const Lines& lines) {
    return Lines(lines.begin() + static_cast<std::ptrdiff_t>(head), lines.end() - static_cast<std::ptrdiff_t>(tail));
  };
  std::vector<Edit> out;
  for (std::size_t i = 0; i < head; ++i) out.push_back({' ', before[i]});
  compare_middle(cut(before), cut(after), out);
  for (std::size_t i = before.size() - tail; i < before.size(); ++i) out.push_back({' ', before[i]});
  return out;
}

// Where the run of changes that begins at `first` ends: two runs with little between them are one.
std::size_t end_of_hunk(const std::vector<Edit>& edits, std::size_t first) {
  std::size_t last = first;
  for (std::size_t i = first; i < edits.size() && i <= last + 2 * context_lines + 1; ++i) {
    if (edits[i].mark != ' ') last = i;
  }
  return last + 1;
}

}  // namespace

std::string unified_diff(std::string_view before, std::string_view after, const std::string& before_name, const std::string& after_name) {
  const std::vector<Edit> edits = edits_between(lines_of(before), lines_of(after));
  std::string out;
  std::size_t old_line = 1;  // of edits[done]
  std::size_t new_line = 1;
  std::size_t done = 0;
  const auto pass = [&](std::size_t until) {
    for (; done < until; ++done) {
      old_line += edits[done].mark != '+' ? 1 : 0;
      new_line += edits[done].mark != '-' ? 1 : 0;
    }
  };
  for (std::size_t i = 0; i < edits.size(); ++i) {
    if (edits[i].mark == ' ') continue;
    if (out.empty()) out = "--- " + before_name + "\n+++ " + after_name + "\n";
    const std::size_t last = end_of_hunk(edits, i);
    const std::size_t first = i - std::min({i - done, i, context_lines});
    const std::size_t end = std::min(last + context_lines, edits.size());
    pass(first);
    const std::size_t old_begin = old_line;
    const std::size_t new_begin = new_line;
    std::string body;
    for (std::size_t k = first; k < end; ++k) body += edits[k].mark + std::string(edits[k].line) + "\n";
    pass(end);
    out += "@@ -" + std::to_string(old_begin) + "," + std::to_string(old_line - old_begin) + " +" + std::to_string(new_begin) + "," +
           std::to_string(new_line - new_begin) + " @@\n" + body;
    i = end - 1;
  }
  return out;
}

}  // namespace hearth::cli
