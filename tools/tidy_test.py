#!/usr/bin/env python3
"""Each rule of tidy.py finds its fault, and leaves the right way to write it alone."""
import json
import os
import re
import subprocess
import sys
import tempfile

TIDY = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'tidy.py')
HEAD = '#pragma once\n'

# rule -> (path, faulty text, right text)
CASES = {
    'co-await-condition': ('worker/a.cc', 'T f() { if (co_await g()) h(); }\n', 'T f() { const bool b = co_await g(); if (b) h(); }\n'),
    'co-await-temporary': ('worker/a.cc', 'T f() { co_await g(R{.n = 1}); }\n', 'T f() { R r{.n = 1}; co_await g(r); }\n'),
    'capturing-coroutine': ('worker/a.cc', 'void f() { auto l = [&x](int a) -> Task<> { co_return ok(); }; }\n',
                            'void f() { auto l = [](int a) -> Task<> { co_return ok(); }; }\n'),
    'include-direction': ('tiering/a.cc', '#include "worker/w.h"\n', '#include "common/c.h"\n'),
    'public-header': ('client/include/hearth/a.h', HEAD + '#include "common/c.h"\n', HEAD + '#include <hearth/code.h>\n'),
    'library': ('common/a.cc', '#include <boost/asio.hpp>\n', '#include <boost/asio/post.hpp>\n'),
    'pragma-once': ('common/c.h', '// nothing\n', HEAD),
    'own-header-first': ('common/c.cc', '#include <string>\n#include "common/c.h"\n', '#include "common/c.h"\n#include <string>\n'),
    'detached': ('worker/a.cc', 'auto t = asio::detached;\n', '// asio::detached is banned\n'),
    'sleep': ('worker/a_test.cc', 'void f() { std::this_thread::sleep_for(t); }\n', 'void f() { clock.sleep_for(t); }\n'),
    'thread-detach': ('worker/a.cc', 'void f() { t.detach(); }\n', 'void f() { t.join(); }\n'),
    'raw-new': ('worker/a.cc', 'A* f() { return new A(); }\n', 'P f() { return std::unique_ptr<A>(new A()); }\nA(A&) = delete;\n'),
    'print': ('worker/a.cc', 'void f() { printf("x"); }\n', 'void f() { std::snprintf(b, 9, "printf(x)"); }\n'),
    'using-namespace': ('common/c.h', HEAD + 'using namespace std;\n', HEAD + 'using std::string;\n'),
    'disabled-test': ('worker/a_test.cc', 'TEST(A, DISABLED_B) {}\n', 'TEST(A, B) {}\n'),
    'unfinished': ('worker/a.cc', '// TO' + 'DO: later\n', '// Later is now.\n'),
    'file-length': ('common/c.h', HEAD + '\n' * 250, HEAD + '\n' * 249),
    'function-length': ('worker/a.cc', 'int f(int x) {\n' + '  x++;\n' * 69 + '}\n', 'int f(int x) {\n' + '  x++;\n' * 68 + '}\n'),
    'dead-header': ('worker/lonely.h', HEAD, None),
    'unbuilt': ('worker/forgotten.cc', 'int x;\n', None),
    'readme': ('worker/README.md', 'x\n' * 31, 'x\n' * 30),
    'link': ('worker/README.md', '[a](b.md)\n', '[a](../worker/a.cc)\n[b](https://example.org)\n'),
}
# A tree without findings, to which each case adds one file.
CLEAN = {
    'common/README.md': 'x\n', 'common/c.h': HEAD, 'worker/README.md': 'x\n', 'worker/w.h': HEAD, 'worker/a.cc': '',
    'tiering/README.md': 'x\n', 'client/README.md': 'x\n',
    'worker/user.cc': '#include "common/c.h"\n#include "worker/w.h"\n',
    'CMakeLists.txt': 'a.cc user.cc c.cc a_test.cc',
}


def run(files, *arguments):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
            with open(os.path.join(root, path), 'w') as f:
                f.write(text)
        done = subprocess.run([sys.executable, TIDY, '--root', root, *arguments], capture_output=True, text=True)
        return done.returncode, set(re.findall(r'^\S+:\d+: \[([\w-]+)\]', done.stdout, re.M)), done.stdout + done.stderr


def main():
    failures = []

    def expect(what, files, rules):
        code, found, output = run(files)
        if found != rules or code != (1 if rules else 0):
            failures.append(f'{what}: expected {rules or "nothing"}, exit {int(bool(rules))}; got {found}, exit {code}\n{output}')

    expect('clean tree', CLEAN, set())
    for rule, (path, faulty, right) in CASES.items():
        expect(f'{rule}, faulty', {**CLEAN, path: faulty}, {rule})
        if right is not None:
            expect(f'{rule}, right', {**CLEAN, path: right}, set())
    excuse = '// tidy-allow(thread-detach): the reason\n'
    path, faulty, _ = CASES['thread-detach']
    expect('an excused line', {**CLEAN, path: excuse + faulty}, set())
    expect('an excuse for another rule', {**CLEAN, path: excuse.replace('thread-detach', 'sleep') + faulty}, {'thread-detach'})
    path, faulty, _ = CASES['function-length']
    for allowed, rules in ((71, set()), (70, {'function-length'})):
        baseline = json.dumps({f'function-length {path} f': allowed})
        expect(f'ratchet at {allowed}', {**CLEAN, path: faulty, 'tools/tidy_baseline.json': baseline}, rules)
    expect('hard limit', {**CLEAN, 'worker/a.cc': '\n' * 801, 'tools/tidy_baseline.json': '{"file-length worker/a.cc": 900}'},
           {'file-length'})
    print('\n'.join(failures) or f'tidy: {len(CASES)} rules hold')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
