// So many extra requests per hundred: each call puts a fraction of a token in, each extra request takes one out.
//
// Bounds extra load by what callers ask for and not by how bad the store is: a store in trouble is never asked more
// than (1 + share) times, whatever the number of attempts of a single call.
//
// Threads: none of its own; whoever owns it locks.
#pragma once

#include <algorithm>

namespace hearth {

struct TokenBudgetOptions {
  double share = 0.2;     // tokens per call
  double initial = 10;    // so that the first calls of a quiet store have retries too
  double most = 100;      // saved up in good times
};

class TokenBudget {
 public:
  explicit TokenBudget(TokenBudgetOptions options) : options_(options), tokens_(std::min(options.initial, options.most)) {}

  void called() { tokens_ = std::min(tokens_ + options_.share, options_.most); }
  // Takes one token, if there is one.
  bool take() {
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  TokenBudgetOptions options_;
  double tokens_;
};

}  // namespace hearth
