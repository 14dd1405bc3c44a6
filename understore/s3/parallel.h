// Several tasks at a time on the caller's executor, and the first failure of them.
//
// Threads: the caller's executor.
// Fails:   with the first error; the others are cancelled, and have ended when this ends (also when it is cancelled itself).
#pragma once

#include "common/async.h"

#include <cstddef>
#include <vector>

namespace hearth::s3 {

Task<> run_parallel(std::vector<Task<>> tasks, std::size_t at_once);

}  // namespace hearth::s3
