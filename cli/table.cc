#include "cli/table.h"

namespace hearth::cli {
namespace {

constexpr Argument one_path[] = {{"PATH", Arity::one, Value::cluster_path, "a path in the namespace, such as /data/a"}};
constexpr Argument some_paths[] = {{"PATH", Arity::many, Value::cluster_path, "paths in the namespace"}};
constexpr Argument maybe_paths[] = {{"PATH", Arity::any, Value::cluster_path, "paths in the namespace; / when none is given"}};

// ---- run -----------------------------------------------------------------------------------

constexpr Argument up_arguments[] = {{"DIR", Arity::any, Value::local_path, "directories (or under-store URIs) to attach, each at /<its name>; more with hearth attach"}};
constexpr Option up_options[] = {
    {.name = "at", .value = Value::cluster_path, .placeholder = "PATH", .help = "attach the DIR before it here; in the order of the DIRs", .repeat = Repeat::many},
    {.name = "mount", .letter = 'm', .value = Value::local_path, .placeholder = "MOUNTPOINT", .help = "mount the namespace here (an existing directory)"},
    {.name = "writable", .help = "the mount takes changes, and makes them in the under-store"},
    {.name = "memory", .value = Value::size, .placeholder = "SIZE", .help = "memory tier of the worker", .fallback = "1GiB"},
    {.name = "nvme", .value = Value::local_path, .placeholder = "DIR", .help = "keep what memory has no room for in this directory, also over restarts; one for each device", .repeat = Repeat::many},
    {.name = "nvme-capacity", .value = Value::size, .placeholder = "SIZE", .help = "of each --nvme; without it 90 % of its file system"},
    {.name = "data-dir", .value = Value::local_path, .placeholder = "DIR", .help = "state; /var/lib/hearth/up for root, else $XDG_STATE_HOME/hearth"},
    {.name = "port", .letter = 'p', .value = Value::count, .placeholder = "PORT", .help = "port of the master; the worker takes the next one; 0 takes free ones (DATA-DIR/master.address says which)", .fallback = "19800"},
    {.name = "policy", .value = Value::local_path, .placeholder = "FILE", .help = "apply this policy for tiers (docs/reference/policy.md)"},
    {.name = "metadata-ttl", .value = Value::duration, .placeholder = "DURATION", .help = "of the DIRs attached now: how old metadata may be", .fallback = "1s"},
    {.name = "metrics", .value = Value::address, .placeholder = "ADDRESS", .help = "serve Prometheus metrics here; without it there are none"},
    {.name = "background", .letter = 'b', .help = "return when everything is ready; log to DATA-DIR/up.log"},
    {.name = "stop", .help = "stop what --background started, and unmount"},
    {.name = "status", .help = "say what runs where"},
};
constexpr std::string_view up_examples[] = {
    "hearth up /data --mount /mnt/hearth",
    "hearth up /srv/a /srv/b --at /a --at /b --memory=8GiB --background",
    "hearth up --stop"};

constexpr Argument mount_arguments[] = {{"MOUNTPOINT", Arity::one, Value::local_path, "an existing directory"}};
constexpr Option mount_options[] = {
    {.name = "subtree", .value = Value::cluster_path, .placeholder = "PATH", .help = "mount this part of the namespace", .fallback = "/"},
    {.name = "writable", .help = "take changes, and make them in the under-store (local directories)"},
    {.name = "options", .letter = 'o', .value = Value::text, .placeholder = "LIST", .help = "mount options as in fstab, with commas between them"},
    {.name = "foreground", .letter = 'f', .help = "stay; unmount on SIGTERM or SIGINT"},
    {.name = "config", .value = Value::local_path, .placeholder = "FILE", .help = "configuration instead of /etc/hearth/mount.toml"},
    {.name = "set", .value = Value::text, .placeholder = "KEY=VALUE", .help = "one key of the configuration", .repeat = Repeat::many},
};
constexpr std::string_view mount_examples[] = {
    "hearth mount /mnt/hearth --subtree=/data",
    "hearth mount /mnt/work --subtree=/work --writable",
    "mount -t hearth hearth://127.0.0.1:19800/data /mnt/hearth",
    "# /etc/fstab: hearth://127.0.0.1:19800/data /mnt/hearth hearth ro,_netdev,nofail 0 0"};
constexpr Argument umount_arguments[] = {{"MOUNTPOINT", Arity::one, Value::local_path, "where it is mounted"}};
constexpr Option umount_options[] = {
    {.name = "lazy", .letter = 'l', .help = "take it out of sight now, also while it is in use or its daemon is dead"},
};

// ---- namespace -----------------------------------------------------------------------------

constexpr Argument attach_arguments[] = {
    {"PATH", Arity::one, Value::cluster_path, "where it appears in the namespace"},
    {"URI", Arity::one, Value::text, "file:///dir, s3://bucket/prefix, hdfs://host/dir, or a directory of this host"}};
constexpr Option attach_options[] = {
    {.name = "metadata-ttl", .value = Value::duration, .placeholder = "DURATION", .help = "how old metadata may be; 0s asks the under-store each time", .fallback = "1s"},
    {.name = "block-size", .value = Value::size, .placeholder = "SIZE", .help = "unit of placement, 1MiB to 16GiB", .fallback = "1GiB"},
    {.name = "page-size", .value = Value::size, .placeholder = "SIZE", .help = "unit of fetching and caching", .fallback = "1MiB"},
    {.name = "placement", .value = Value::choice, .placeholder = "HOW", .help = "which worker caches a block first", .fallback = "local_first", .choices = "local_first|hash"},
    {.name = "serve-stale", .value = Value::choice, .placeholder = "WHEN", .help = "cached data while the under-store is away", .fallback = "always", .choices = "always|until_ttl|never"},
    {.name = "option", .letter = 'o', .value = Value::text, .placeholder = "NAME=VALUE", .help = "of the under-store, such as endpoint=http://host:9000 or region=eu-central-1; never a secret", .repeat = Repeat::many},
    {.name = "read-only", .help = "refuse changes there, also through a writable mount"},
    {.name = "dry-run", .help = "prove access step by step and name the step that fails; attach nothing, ask no master"},
};
constexpr std::string_view attach_examples[] = {"hearth attach /data /srv/data", "hearth attach /data file:///srv/data --metadata-ttl=10s",
                                                "hearth attach --dry-run /s3 s3://bucket/prefix --option=credentials=file:/etc/hearth/s3-keys"};

// ---- data ----------------------------------------------------------------------------------

constexpr Option ls_options[] = {
    {.name = "long", .letter = 'l', .help = "mode, owner, length and time as well"},
    {.name = "recursive", .letter = 'R', .help = "all below as well"},
};
constexpr Argument get_arguments[] = {
    {"SRC", Arity::one, Value::cluster_path, "a file or tree in the namespace"},
    {"DST", Arity::one, Value::local_path, "a local file or directory; SRC goes into an existing directory under its own name"}};
constexpr Option get_options[] = {
    {.name = "jobs", .letter = 'j', .value = Value::count, .placeholder = "N", .help = "files at once", .fallback = "8"},
    {.name = "recursive", .letter = 'R', .help = "trees are copied whole with and without it; here for the habit of cp"},
    {.name = "no-preserve", .help = "do not copy mode and modification time"},
};

constexpr Argument put_arguments[] = {
    {"SRC", Arity::one, Value::local_path, "a local file or tree; - is standard input"},
    {"DST", Arity::one, Value::cluster_path, "a file or directory in the namespace; SRC goes into an existing directory under its own name"}};
constexpr Option put_options[] = {
    {.name = "recursive", .letter = 'r', .help = "copy a directory with all below it"},
    {.name = "preserve", .letter = 'p', .help = "keep mode and modification time; without it the mode is that of SRC less the umask"},
    {.name = "jobs", .letter = 'j', .value = Value::count, .placeholder = "N", .help = "files at once", .fallback = "8"},
};
constexpr std::string_view put_examples[] = {"hearth put report.csv /data/reports", "hearth put -r --preserve ./train /data/train",
                                             "pg_dump shop | hearth put - /data/shop.sql"};
constexpr Argument cp_arguments[] = {
    {"SRC", Arity::one, Value::cluster_path, "a file or tree in the namespace"},
    {"DST", Arity::one, Value::cluster_path, "where its copy appears; SRC goes into an existing directory under its own name"}};
constexpr Argument mv_arguments[] = {
    {"FROM", Arity::one, Value::cluster_path, "a file or directory in the namespace"},
    {"TO", Arity::one, Value::cluster_path, "its new name, in the same attachment, or an existing directory for it"}};
constexpr Option mv_options[] = {{.name = "no-clobber", .letter = 'n', .help = "fail when TO is there already"}};
constexpr Option mkdir_options[] = {
    {.name = "parents", .letter = 'p', .help = "make the directories above it too; one that is there is no error"},
    {.name = "mode", .letter = 'm', .value = Value::text, .placeholder = "MODE", .help = "as of chmod; without it 0777 less the umask"},
};
constexpr Option touch_options[] = {{.name = "no-create", .letter = 'c', .help = "make no file that is not there"}};
constexpr Argument ln_arguments[] = {
    {"TARGET", Arity::one, Value::text, "an existing file in the namespace; with -s any text"},
    {"PATH", Arity::one, Value::cluster_path, "the new name, or an existing directory for it"}};
constexpr Option ln_options[] = {{.name = "symbolic", .letter = 's', .help = "a symlink instead of another name for the file"}};
constexpr Argument chmod_arguments[] = {{"MODE", Arity::one, Value::text, "octal such as 0644, or words such as u+x,go-w"},
                                        {"PATH", Arity::many, Value::cluster_path, "paths in the namespace"}};
constexpr Argument chown_arguments[] = {{"OWNER", Arity::one, Value::text, "OWNER, OWNER:GROUP or :GROUP; names of this host, or numbers"},
                                        {"PATH", Arity::many, Value::cluster_path, "paths in the namespace"}};
constexpr Option attribute_options[] = {{.name = "recursive", .letter = 'R', .help = "all below as well"}};
constexpr Option rm_options[] = {
    {.name = "recursive", .letter = 'r', .help = "directories with all below them as well"},
    {.name = "force", .letter = 'f', .help = "what is not there is no failure"},
};
constexpr std::string_view rm_examples[] = {"hearth rm /data/old.csv", "hearth rm -r /data/2024"};

// ---- cache ---------------------------------------------------------------------------------

constexpr Option load_options[] = {
    {.name = "jobs", .letter = 'j', .value = Value::count, .placeholder = "N", .help = "files at once", .fallback = "16"},
};
constexpr std::string_view load_examples[] = {"hearth load /data/train", "hearth load -j 32 /data/a /data/b --json"};
constexpr Option free_options[] = {{.name = "recursive", .letter = 'R', .help = "all below as well"}};

// ---- policy --------------------------------------------------------------------------------

constexpr Argument policy_arguments[] = {
    {"ACTION", Arity::one, Value::choice, "what to do", "check|show|diff|apply|history|rollback|explain|test|whatif|record|reference"},
    {"ARGUMENT", Arity::any, Value::text, "check FILE, diff [FILE | A B], apply FILE, rollback N, explain PATH, record FILE"}};
constexpr Option policy_options[] = {
    {.name = "version", .value = Value::count, .placeholder = "N", .help = "with show: this version instead of the one in force"},
    {.name = "comment", .value = Value::text, .placeholder = "TEXT", .help = "with apply and rollback: why, for the history"},
    {.name = "dry-run", .help = "with apply: check at the master and show what would change"},
    {.name = "expect", .value = Value::count, .placeholder = "N", .help = "with apply and rollback: only if version N is in force (0: none yet)"},
    {.name = "file", .value = Value::local_path, .placeholder = "FILE", .help = "with explain: by this file instead of the policy in force"},
    {.name = "at", .value = Value::size, .placeholder = "OFFSET", .help = "with explain: the page there instead of the file, for rules about first_bytes and last_bytes"},
    {.name = "pattern", .value = Value::choice, .placeholder = "HOW", .help = "with explain: as read this way", .fallback = "any", .choices = "any|sequential|random|whole-file"},
    {.name = "trace", .value = Value::local_path, .placeholder = "FILE", .help = "with test: the accesses to replay (docs/formats/trace.md)"},
    {.name = "format", .value = Value::choice, .placeholder = "FORMAT", .help = "with test: of the trace", .fallback = "auto", .choices = "auto|csv|oracle|hearth"},
    {.name = "memory", .value = Value::size, .placeholder = "SIZE", .help = "with test: capacity of the memory tier; 0B has none", .fallback = "1GiB"},
    {.name = "nvme", .value = Value::size, .placeholder = "SIZE", .help = "with test: capacity of the NVMe tier; 0B has none", .fallback = "0B"},
    {.name = "eviction", .value = Value::text, .placeholder = "LIST", .help = "with test: lru, s3-fifo, w-tinylfu or several with commas between; what the policy says, and all without one"},
    {.name = "policy", .value = Value::local_path, .placeholder = "FILE", .help = "with test: these rules; without it every page is kept"},
    {.name = "memory-step", .value = Value::size, .placeholder = "SIZE", .help = "with whatif: how much more memory to ask about", .fallback = "1GiB"},
    {.name = "nvme-step", .value = Value::size, .placeholder = "SIZE", .help = "with whatif: how much more NVMe to ask about", .fallback = "1TiB"},
    {.name = "for", .value = Value::duration, .placeholder = "DURATION", .help = "with record: how long", .fallback = "1m"},
    {.name = "one-in", .value = Value::count, .placeholder = "N", .help = "with record: only every Nth page, by its hash", .fallback = "1"},
    {.name = "paths", .value = Value::choice, .placeholder = "HOW", .help = "with record: names of files in the trace; hashed keeps their depth and suffix", .fallback = "none", .choices = "none|plain|hashed"},
    {.name = "request-price", .value = Value::text, .placeholder = "AMOUNT", .help = "with test: of 1,000 requests to the under-store"},
    {.name = "transfer-price", .value = Value::text, .placeholder = "AMOUNT", .help = "with test: of 1 GiB from the under-store"},
};
constexpr std::string_view policy_examples[] = {
    "hearth policy check policy.toml",
    "hearth policy apply policy.toml --comment='pin the footers'",
    "hearth policy explain /data/train/a.bin --file=policy.toml",
    "hearth policy test --trace=day.trace --memory=64GiB --nvme=2TiB --policy=policy.toml",
    "hearth policy diff 3 4",
    "hearth policy rollback 3"};

// ---- operate -------------------------------------------------------------------------------

constexpr Argument config_arguments[] = {
    {"ACTION", Arity::one, Value::choice, "check a file, show the values in force, print the reference or an example file", "check|show|reference|example"},
    {"PROCESS", Arity::optional, Value::choice, "whose configuration", "master|worker|mount"}};
constexpr Option config_options[] = {
    {.name = "config", .value = Value::local_path, .placeholder = "FILE", .help = "this file instead of /etc/hearth/PROCESS.toml"},
    {.name = "set", .value = Value::text, .placeholder = "KEY=VALUE", .help = "one key, as a flag would set it", .repeat = Repeat::many},
    {.name = "origin", .help = "with show: where each value came from"},
};
constexpr Argument completion_arguments[] = {{"SHELL", Arity::one, Value::choice, "for which shell", "bash|zsh|fish"}};
constexpr std::string_view completion_examples[] = {"hearth completion bash > /usr/share/bash-completion/completions/hearth"};
constexpr Argument help_arguments[] = {{"COMMAND", Arity::optional, Value::text, "one command"}};
constexpr Option help_options[] = {{.name = "markdown", .help = "the whole reference (docs/reference/cli.md)"}};
constexpr Option doctor_options[] = {
    {.name = "mount", .letter = 'm', .value = Value::local_path, .placeholder = "MOUNTPOINT", .help = "look at this mount as well"},
};

constexpr Command commands[] = {
    {"up", "run", "run master, worker and mount in one process, with defaults",
     "For a laptop and for the quick start. Without --background it stays until SIGINT or SIGTERM. When the mount is not possible it says what is missing and goes on without.",
     up_arguments, up_options, up_examples},
    {"mount", "run", "mount the namespace as a file system",
     "Returns when the first statfs works. Also runs as /sbin/mount.hearth, so mount(8), fstab and systemd know the type hearth.",
     mount_arguments, mount_options, mount_examples},
    {"umount", "run", "unmount it again", "", umount_arguments, umount_options, {}},
    {"attach", "namespace", "bind an under-store to a path of the namespace", "", attach_arguments, attach_options, attach_examples},
    {"detach", "namespace", "take an attachment out of the namespace; the under-store keeps its data", "", one_path, {}, {}},
    {"attachments", "namespace", "list the attachments with their options", "", {}, {}, {}},
    {"ls", "data", "list directories", "", maybe_paths, ls_options, {}},
    {"stat", "data", "show what is known about files and directories", "", some_paths, {}, {}},
    {"cat", "data", "write files to standard output", "", some_paths, {}, {}},
    {"get", "data", "copy a file or a tree to this host",
     "Each file is written beside its destination and renamed when it is complete, so a file that is there is whole.",
     get_arguments, get_options, {}},
    {"put", "data", "copy a local file, tree or standard input into the namespace",
     "A file appears under its name when it is complete: it is written beside its place, as .hearth-put-*, and renamed (in S3 and HDFS it is an object when it is closed). Needs a worker on this host, and a master that is asked over its Unix socket: see docs/semantics.md, Writing.",
     put_arguments, put_options, put_examples},
    {"cp", "data", "copy files and trees within the namespace", "As put does: each copy appears when it is complete.", cp_arguments, put_options, {}},
    {"mv", "data", "rename a file or directory", "Within one attachment. Replaces a file, or an empty directory, that has the new name.", mv_arguments, mv_options, {}},
    {"mkdir", "data", "make directories", "", some_paths, mkdir_options, {}},
    {"touch", "data", "set times to now, and make files that are not there", "", some_paths, touch_options, {}},
    {"ln", "data", "make symlinks and hard links", "Where the under-store has them: S3 and HDFS have none.", ln_arguments, ln_options, {}},
    {"chmod", "data", "change modes", "Symlinks are left alone.", chmod_arguments, attribute_options, {}},
    {"chown", "data", "change owners and groups", "Of a symlink itself, not of what it leads to.", chown_arguments, attribute_options, {}},
    {"rm", "data", "remove files and trees, in the under-store, too",
     "Asks nothing. A tree goes depth first, in a store of keys in batches; what can not be removed is listed, the rest goes on, and the exit code is 3. A second time removes what the first left. Attachments are detached, not removed.",
     some_paths, rm_options, rm_examples},
    {"load", "cache", "read files and trees into the cache",
     "Returns when the workers hold them. Files that fail are listed and the exit code is 3. It is 3 as well when later files pushed earlier ones out again, and the bytes that are cached at the end are said.",
     some_paths, load_options, load_examples},
    {"free", "cache", "drop cached blocks; the under-store keeps its data", "", one_path, free_options, {}},
    {"locate", "cache", "show which workers hold the blocks of a file", "", some_paths, {}, {}},
    {"explain", "cache", "say why a file is read the way it is", "", one_path, {}, {}},
    {"policy", "cache", "check, apply and explain the rules for tiers",
     "What a policy says: docs/reference/policy.md. apply is atomic and takes effect in all workers without a restart; an invalid file changes nothing and is answered with line, column and reason. diff alone compares the version in force with the one before it.",
     policy_arguments, policy_options, policy_examples},
    {"report", "operate", "the cluster on one screen", "", {}, {}, {}},
    {"workers", "operate", "list the workers", "", {}, {}, {}},
    {"doctor", "operate", "check this host and the cluster, with a remedy for each problem", "Ends with exit code 7 when a check fails.", {}, doctor_options, {}},
    {"config", "operate", "check, show or document configuration", "", config_arguments, config_options, {}},
    {"version", "operate", "versions of this program and of the master", "", {}, {}, {}},
    {"completion", "help", "print the completion script of a shell", "", completion_arguments, {}, completion_examples},
    {"help", "help", "print help", "", help_arguments, help_options, {}},
};

constexpr Option globals[] = {
    {.name = "master", .value = Value::address, .placeholder = "ADDRESS", .help = "host:port or unix:/path of the master", .environment = "HEARTH_MASTER"},
    {.name = "json", .help = "results and errors as one JSON document on standard output"},
    {.name = "quiet", .letter = 'q', .help = "no progress and no remarks; results and errors only"},
    {.name = "verbose", .letter = 'v', .help = "say more, also what the library logs", .repeat = Repeat::many},
    {.name = "no-progress", .help = "no progress lines"},
    {.name = "timeout", .value = Value::duration, .placeholder = "DURATION", .help = "how long one request may take in all (5s for metadata, 30s for a read)", .environment = "HEARTH_TIMEOUT"},
    {.name = "tenant", .value = Value::text, .placeholder = "NAME", .help = "who reads, for rules and quotas of the policy that name tenants", .environment = "HEARTH_TENANT"},
    {.name = "help", .letter = 'h', .help = "help for the command"},
};

constexpr Hint hints[] = {
    {"fs mount", "hearth attach PATH URI"},
    {"fs unmount", "hearth detach PATH"},
    {"fs ls", "hearth ls PATH"},
    {"fs cat", "hearth cat PATH"},
    {"fs stat", "hearth stat PATH"},
    {"fs load", "hearth load PATH"},
    {"fs distributedLoad", "hearth load PATH"},
    {"fs free", "hearth free -R PATH"},
    {"fs location", "hearth locate PATH"},
    {"fs copyToLocal", "hearth get SRC DST"},
    {"fs", "hearth ls, cat, stat, get, load or free"},
    {"fsadmin", "hearth report, workers or doctor"},
    {"warmup", "hearth load PATH"},
    {"distributedLoad", "hearth load PATH"},
    {"preload", "hearth load PATH"},
    {"evict", "hearth free PATH"},
    {"unmount", "hearth umount MOUNTPOINT (the file system) or hearth detach PATH (the under-store)"},
    {"status", "hearth report, or hearth up --status"},
    {"start", "hearth up --background"},
    {"stop", "hearth up --stop"},
    {"copyFromLocal", "hearth put SRC DST"},
    {"fs copyFromLocal", "hearth put SRC DST"},
    {"fs cp", "hearth cp SRC DST"},
    {"fs mv", "hearth mv FROM TO"},
    {"fs mkdir", "hearth mkdir -p PATH"},
    {"upload", "hearth put SRC DST"},
    {"copyToLocal", "hearth get SRC DST"},
    {"location", "hearth locate PATH"},
    {"getConf", "hearth config show --origin"},
    {"list", "hearth ls PATH"},
};

}  // namespace

constinit const Program hearth_program{
    .name = "hearth", .summary = "a cache that keeps hot data close to compute",
    .commands = commands, .globals = globals, .hints = hints};

}  // namespace hearth::cli
