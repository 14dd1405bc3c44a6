# Debian 12 packages that Hearth needs, and how the scripts install them. Sourced by quickstart and test.

# To build and run.
hearth_build_packages=(
  g++ cmake ninja-build ccache lld pkg-config
  libboost1.81-dev libboost-json1.81-dev liburing-dev libfuse3-dev fuse3 librocksdb-dev libssl-dev
  libsystemd-dev libspdlog-dev libcurl4-openssl-dev libprotobuf-dev protobuf-compiler
  libpugixml-dev libtomlplusplus-dev libxxhash-dev python3
)
# To test as well.
hearth_test_packages=(
  libgtest-dev default-jre-headless maven krb5-kdc krb5-admin-server krb5-user golang-go clang-14 libclang-rt-14-dev clang-format-14 iproute2 nftables fio procps git make
  rsync acl ripgrep vim-tiny postgresql
)

say() { printf '\n== %s\n' "$*"; }
die() { printf '\nstopped: %s\n' "$*" >&2; exit 1; }

# as_root CMD...: run with the rights that apt and mount need.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else die "this step needs root: run the script as root, or install sudo ($*)"
  fi
}

# install_packages NAME...: installs what is missing; silent when nothing is.
install_packages() {
  command -v dpkg-query >/dev/null 2>&1 || die "this script installs Debian packages; on another system install these by hand and build with cmake: $*"
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "installing ${#missing[@]} packages: ${missing[*]}"
  local log; log=$(mktemp)
  if ! { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    die "apt-get could not install the packages above (whole log: $log)"
  fi
  rm -f "$log"
}

# Two cores build; ccache keeps what a second build directory can share.
export CCACHE_BASEDIR="${CCACHE_BASEDIR:-/}" CCACHE_NOHASHDIR=1
build_jobs() { nproc; }
