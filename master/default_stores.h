// Opens under-stores by URI: the one place where the master meets understore/store_factory.h.
#pragma once

#include "common/blocking.h"
#include "common/clock.h"
#include "common/http/http.h"
#include "master/store_set.h"

namespace hearth::master {

// What the opener refers to must live as long as the stores it opens.
StoreOpener default_store_opener(BlockingPool& pool, Clock& clock, HttpClient& http);

}  // namespace hearth::master
