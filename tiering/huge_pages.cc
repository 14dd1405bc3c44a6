#include "tiering/huge_pages.h"

#include <fstream>
#include <iterator>

namespace hearth {

HugePageSupport probe_huge_pages(const std::string& path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto begin = text.find('[');
  const auto end = text.find(']');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return HugePageSupport::absent;
  const std::string chosen = text.substr(begin + 1, end - begin - 1);
  const bool works = chosen == "always" || chosen == "within_size" || chosen == "advise" || chosen == "force";
  return works ? HugePageSupport::present : HugePageSupport::absent;
}

}  // namespace hearth
