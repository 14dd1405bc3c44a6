// libfuse, and nothing else: included by the session and its handlers only.
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
