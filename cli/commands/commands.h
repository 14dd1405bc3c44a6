// The commands, one function each; the table (cli/table.cc) names them, dispatch.cc joins the two.
#pragma once

#include "cli/commands/context.h"

namespace hearth::cli {

Result<Exit> run_up(Context& context);
Result<Exit> run_mount(Context& context);
Result<Exit> run_umount(Context& context);
Result<Exit> run_attach(Context& context);
Result<Exit> run_detach(Context& context);
Result<Exit> run_attachments(Context& context);
Result<Exit> run_ls(Context& context);
Result<Exit> run_stat(Context& context);
Result<Exit> run_cat(Context& context);
Result<Exit> run_get(Context& context);
Result<Exit> run_put(Context& context);
Result<Exit> run_cp(Context& context);
Result<Exit> run_mv(Context& context);
Result<Exit> run_mkdir(Context& context);
Result<Exit> run_touch(Context& context);
Result<Exit> run_ln(Context& context);
Result<Exit> run_chmod(Context& context);
Result<Exit> run_chown(Context& context);
Result<Exit> run_load(Context& context);
Result<Exit> run_free(Context& context);
Result<Exit> run_rm(Context& context);
Result<Exit> run_locate(Context& context);
Result<Exit> run_explain(Context& context);
Result<Exit> run_policy(Context& context);
Result<Exit> run_report(Context& context);
Result<Exit> run_workers(Context& context);
Result<Exit> run_doctor(Context& context);
Result<Exit> run_config(Context& context);
Result<Exit> run_version(Context& context);
Result<Exit> run_completion(Context& context);
Result<Exit> run_help(Context& context);

// The function of a command of the table; null when the two went apart (the smoke test runs each).
CommandFunction function_of(std::string_view command);

// The whole program: parses, runs, reports; the exit code.
int run_hearth(int argc, char** argv);

}  // namespace hearth::cli
