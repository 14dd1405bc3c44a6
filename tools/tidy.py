#!/usr/bin/env python3
"""Style as a test: prints `file:line: [rule] what to do` and ends with 1 when there is anything to do.

usage: tidy.py [--root DIR] [--update-baseline]

Budgets are a ratchet: tools/tidy_baseline.json lists what is over budget today, and only growing fails.
--update-baseline writes the list anew (it never takes in what is over a hard limit).
One line may be excused with a reason:  // tidy-allow(rule): why
"""
import argparse
import bisect
import json
import os
import re
import sys

CODE_FOLDERS = ['common', 'proto', 'understore', 'tiering', 'master', 'worker', 'client', 'fuse', 'cli', 'tests', 'bench',
                'packaging']
# What a folder may include besides itself. tests, bench and *_test.cc may include anything.
MAY_INCLUDE = {
    'common': {'proto'},
    'proto': set(),
    'understore': {'common'},
    'tiering': {'common'},
    'master': {'understore', 'common', 'proto', 'tiering/policy'},
    'worker': {'tiering', 'understore', 'common', 'proto'},
    'client': {'understore', 'common', 'proto'},
    'fuse': {'client', 'common'},
    'cli': {'client', 'common', 'proto', 'tiering/policy', 'tiering/eviction'},
    'packaging': set(),
}
# The daemons are put together in one place, so that `hearth up` and each main.cc run the same code.
COMPOSITION_ROOTS = ('cli/daemon/', 'cli/up/')
# A library, and where its headers may be seen.
ADAPTERS = [
    (re.compile(r'spdlog/'), re.compile(r'common/log\.cc$')),
    (re.compile(r'toml\+\+/'), re.compile(r'common/config_toml\.cc$')),
    (re.compile(r'rocksdb/'), re.compile(r'(master|tiering)/[^/]*\.cc$')),
    (re.compile(r'(openssl/|curl/|liburing|pugixml)'), re.compile(r'\.cc$')),
    (re.compile(r'(fuse_lowlevel|fuse3/|fuse\.h)'), re.compile(r'fuse/')),
    (re.compile(r'boost/asio\.hpp'), re.compile(r'(?!)')),
]
HEADER_LINES, SOURCE_LINES, SOURCE_LINES_HARD, FUNCTION_LINES, MAIN_LINES, README_LINES = 250, 500, 800, 70, 30, 30

BANNED = [
    ('detached', re.compile(r'asio::detached'), 'spawn it into a TaskGroup (common/task_group.h)', lambda p: True),
    ('sleep', re.compile(r'this_thread::sleep_|\b(?:usleep|nanosleep)\s*\(|(?<!\w)::sleep\s*\('),
     'wait for a sequence point, or advance a ManualClock (common/manual_clock.h)', lambda p: is_test(p)),
    ('thread-detach', re.compile(r'\.detach\(\)'), 'keep the thread and join it', lambda p: True),
    ('print', re.compile(r'(?<![\w.>])(?:std::)?(?:printf|fprintf|puts|fputs|perror)\s*\(|std::c(?:out|err)\b'),
     'log an event (common/log.h); only cli, bench, tests and main.cc talk to a terminal',
     lambda p: not (top(p) in ('cli', 'bench') or is_test(p) or '/examples/' in p or p.endswith('/main.cc'))),
    ('using-namespace', re.compile(r'^\s*using\s+namespace\b', re.M), 'a header opens no namespace for others',
     lambda p: p.endswith('.h')),
    ('disabled-test', re.compile(r'\bDISABLED_'), 'repair the test or remove it', lambda p: True),
]
RAW_NEW = re.compile(r'\bnew\s+[A-Za-z_:][\w:]*|\bdelete\s+[A-Za-z_*]')
UNFINISHED = re.compile(r'\b(?:TODO|FIXME|XXX|HACK)\b')

# Comments, raw strings, strings, characters (a ' between digits is a separator). Order matters.
NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|\bR"([^(\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
ALLOW = re.compile(r'tidy-allow\(([\w-]+)\):\s*\S')

# g++ 12 miscompiles these (common/async.h).
CONDITION = re.compile(r'\b(?:if|while|switch)\s*(?:constexpr\s*)?\(')
BRACE = re.compile(r'(?:[\w>]\s*\{|[(,]\s*\{)')
OPEN_BRACE = re.compile(r'(?<!\bdo)(?<!\belse)(?<!\btry)(?<=[\w>])\s*\{[^{}]*$')
CAPTURING = re.compile(r'(?<![\w\])\[])\[\s*(?!\s*\])[^\[\]]*\]\s*(?:\(|\{|mutable)')
CAPTURING_COROUTINE = re.compile(r'(?<![\w\])\[])\[\s*[^\[\]\s][^\[\]]*\]\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*(?:mutable\s*)?->\s*'
                                 r'(?:boost::)?(?:asio::awaitable|Task)<')
NOT_A_FUNCTION = re.compile(r'^\s*(?:if|for|while|switch|catch|do|else|try|namespace|extern\s*""|enum)\b')
TYPE_HEAD = re.compile(r'\b(?:class|struct|union|enum|namespace)\b[^()]*$')


def top(path):
    return path.split('/', 1)[0]


def is_test(path):
    return top(path) == 'tests' or path.endswith('_test.cc')


class File:
    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding='utf-8', errors='replace') as f:
            self.raw = f.read()
        self.starts = [0] + [m.end() for m in re.finditer('\n', self.raw)]
        # Same length and lines as `raw`, without comments and the insides of strings.
        self.code = NOT_CODE.sub(lambda m: ''.join(c if c == '\n' else ' ' for c in m.group(0)), self.raw)
        self.line_count = self.raw.count('\n')
        self.includes = [(self.line(m.start()), m.group(1), m.group(2)) for m in INCLUDE.finditer(self.raw)]

    def line(self, position):
        return bisect.bisect_right(self.starts, position)

    def allowed(self, line, rule):
        for number in (line, line - 1):
            if 1 <= number <= len(self.starts):
                m = ALLOW.search(self.raw, self.starts[number - 1], (self.starts + [len(self.raw)])[number])
                if m and m.group(1) == rule:
                    return True
        return False


def closing(text, start):
    """The index of the parenthesis that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == '(') - (text[i] == ')')
        if depth == 0:
            return i
    return len(text)


def functions(code):
    """(name, position of its head, position of its end) of each outermost function body."""
    code = re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', lambda m: re.sub(r'[^\n]', ' ', m.group(0)), code, flags=re.M)
    found, stack, head = [], [], 0
    for m in re.finditer(r'[;{}]', code):
        at, symbol = m.start(), m.group(0)
        if symbol == '{':
            text = code[head:at]
            inside = any(kind == 'function' for kind, _, _ in stack)
            kind = 'block' if inside or '(' not in text or NOT_A_FUNCTION.match(text) or TYPE_HEAD.search(text) else 'function'
            stack.append((kind, text, head))
        elif symbol == '}' and stack:
            kind, text, begin = stack.pop()
            if kind == 'function':
                name = re.search(r'([\w:~]+)\s*\(', text)
                found.append((name.group(1) if name else '?', begin + len(text) - len(text.lstrip()), at))
        head = m.end()
    return found


def check_coroutines(file, report):
    code = file.code
    if 'co_await' not in code and 'co_return' not in code:
        return
    for m in CONDITION.finditer(code):
        condition = code[m.end() - 1:closing(code, m.end() - 1)]
        if 'co_await' in condition:
            report(file, m.start(), 'co-await-condition', 'bind the awaited value to a const on the line before')
    for m in re.finditer(r'\bco_await\b[^;]*;', code):
        statement = m.group(0)
        before = code[max(code.rfind(';', 0, m.start()), code.rfind('\n', 0, m.start())) + 1:m.start()]
        if BRACE.search(statement) or CAPTURING.search(statement) or OPEN_BRACE.search(before):
            report(file, m.start(), 'co-await-temporary', 'name the temporary or lambda on the line before')
    for m in CAPTURING_COROUTINE.finditer(code):
        report(file, m.start(), 'capturing-coroutine', 'pass what it needs as parameters: captures die with the lambda')


def check_includes(file, headers, report):
    folder = top(file.path)
    is_public = '/include/hearth/' in file.path
    for line, kind, name in file.includes:
        target = top(name) if kind == '"' else ('client' if name.startswith('hearth/client') else '')
        root = file.path.startswith(COMPOSITION_ROOTS) or (file.path.endswith('/main.cc') and name.startswith(COMPOSITION_ROOTS))
        if target in CODE_FOLDERS and target != folder and folder in MAY_INCLUDE and not is_test(file.path) and not root:
            part = '/'.join(name.split('/')[:2])
            if target not in MAY_INCLUDE[folder] and part not in MAY_INCLUDE[folder]:
                allowed = ', '.join(sorted(MAY_INCLUDE[folder])) or 'nothing'
                report(file, line, 'include-direction', f'{folder}/ may include {allowed}, not {target}/')
        if folder == 'tiering' and name.startswith('common/net/'):
            report(file, line, 'include-direction', 'tiering/ knows no sockets')
        if is_public and kind == '"':
            report(file, line, 'public-header', 'an installed header includes only <hearth/...> and the standard library')
        for library, place in ADAPTERS:
            if kind == '<' and library.match(name) and not place.search(file.path):
                report(file, line, 'library', f'<{name}> belongs behind its adapter, or include narrower')
    if file.path.endswith('.h') and '#pragma once' not in file.code:
        report(file, 1, 'pragma-once', 'add #pragma once after the header comment')
    if file.path.endswith('.cc') and file.includes:
        stem = os.path.splitext(file.path)[0]
        own = [stem + '.h', f'hearth/{os.path.basename(stem)}.h']
        exists = stem + '.h' in headers or any(h.startswith(folder + '/') and h.endswith('include/' + own[1]) for h in headers)
        if exists and file.includes[0][2] not in own:
            report(file, file.includes[0][0], 'own-header-first', f'include "{stem}.h" first, so that it is known to stand alone')


def check_text(file, report):
    for rule, pattern, advice, applies in BANNED:
        if applies(file.path):
            for m in pattern.finditer(file.code):
                report(file, m.start(), rule, advice)
    for m in RAW_NEW.finditer(file.code):
        before = file.code[max(file.code.rfind(c, 0, m.start()) for c in ';{}') + 1:m.start()]
        # Straight into its owner is what make_unique can not do for a private constructor.
        if m.group(0).startswith('delete') or not re.search(r'\b(?:unique|shared)_ptr<|\w_\($', before):
            report(file, m.start(), 'raw-new', 'give it to a unique_ptr at once, or say why not in a tidy-allow')
    for m in UNFINISHED.finditer(file.raw):
        report(file, m.start(), 'unfinished', 'do it now, or file an issue')


def budgets(file):
    """(rule, key, line, value, limit, hard limit or None) of everything over its budget."""
    over = []
    name = os.path.basename(file.path)
    limit = HEADER_LINES if name.endswith('.h') else MAIN_LINES if name == 'main.cc' else SOURCE_LINES
    if file.line_count > limit:
        hard = SOURCE_LINES_HARD if limit == SOURCE_LINES else None
        over.append(('file-length', file.path, 1, file.line_count, limit, hard))
    for function, begin, end in functions(file.code):
        lines = file.line(end) - file.line(begin) + 1
        if lines > FUNCTION_LINES:
            over.append(('function-length', f'{file.path} {function}', file.line(begin), lines, FUNCTION_LINES, None))
    return over


def check_dead(files, headers, cmake_text, report):
    included = set()
    for file in files:
        for _, _, name in file.includes:
            included.update((name, os.path.normpath(os.path.join(os.path.dirname(file.path), name))))
    for file in files:
        if file.path in headers and file.path not in included and '/include/hearth/' not in file.path:
            report(file, 1, 'dead-header', 'nobody includes it: remove it')
        if file.path.endswith('.cc') and os.path.basename(file.path) not in cmake_text:
            report(file, 1, 'unbuilt', 'no CMakeLists.txt names it: add or remove it')


def check_documents(root, documents, print_finding):
    for folder in CODE_FOLDERS:
        if not os.path.isdir(os.path.join(root, folder)):
            continue
        readme = os.path.join(root, folder, 'README.md')
        if not os.path.exists(readme):
            print_finding(f'{folder}/README.md', 1, 'readme', 'write it: what the folder owns, what it must never do, three files to read')
        elif open(readme, encoding='utf-8').read().count('\n') > README_LINES:
            print_finding(f'{folder}/README.md', README_LINES, 'readme', f'at most {README_LINES} lines: move the rest to docs/')
    for path in documents:
        text = open(os.path.join(root, path), encoding='utf-8', errors='replace').read()
        text = re.sub(r'^```.*?^```', lambda m: re.sub(r'[^\n]', ' ', m.group(0)), text, flags=re.M | re.S)
        for m in re.finditer(r'\]\(([^)\s]+)\)', text):
            target = m.group(1).split('#')[0]
            if not target or re.match(r'[a-z]+:', target):
                continue
            if not os.path.exists(os.path.join(root, os.path.dirname(path), target)):
                print_finding(path, text.count('\n', 0, m.start()) + 1, 'link', f'{target} does not exist')


# The page of outcome codes has a row for each of them, as the one table says it.
def check_codes(root, print_finding):
    page = 'docs/reference/errors.md'
    table = os.path.join(root, 'common/include/hearth/code.h')
    if not os.path.exists(table):
        return
    with open(table) as f:
        source = f.read()
    with open(os.path.join(root, page)) as f:
        rows = {tuple(cell.strip(' `') for cell in line.split('|')[1:5]) for line in f if line.startswith('|')}
    numbers = dict(re.findall(r'^  (\w+) = (\d+),', source, flags=re.M))
    for code, name, errno, status in re.findall(r'\{Code::(\w+), "(\w+)", (\w+), (\d+), Retry', source):
        row = (numbers[code], name, '-' if errno == '0' else errno, status)
        if row not in rows:
            print_finding(page, 1, 'codes', f'no row {" | ".join(row)}, as common/include/hearth/code.h says')


def walk(root):
    for folder, names, files in os.walk(root):
        names[:] = [n for n in names if not n.startswith('.') and not n.startswith('build') and n != '__pycache__']
        for name in files:
            yield os.path.relpath(os.path.join(folder, name), root)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--root', default=os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
    parser.add_argument('--update-baseline', action='store_true')
    options = parser.parse_args()
    root = os.path.normpath(options.root)
    baseline_path = os.path.join(root, 'tools', 'tidy_baseline.json')
    baseline = json.load(open(baseline_path)) if os.path.exists(baseline_path) else {}

    paths = sorted(walk(root))
    files = [File(root, p) for p in paths if p.endswith(('.h', '.cc')) and top(p) in CODE_FOLDERS]
    headers = {f.path for f in files if f.path.endswith('.h')}
    cmake_text = '\n'.join(open(os.path.join(root, p)).read() for p in paths if os.path.basename(p) == 'CMakeLists.txt')
    findings = set()

    def print_finding(path, line, rule, advice):
        findings.add((path, line, rule, advice))

    # `where` is a line for what has one, else a position in the text.
    def report(file, where, rule, advice):
        line = where if rule in BY_LINE else file.line(where)
        if not file.allowed(line, rule):
            print_finding(file.path, line, rule, advice)

    over = {}
    for file in files:
        check_coroutines(file, report)
        check_includes(file, headers, report)
        check_text(file, report)
        for rule, key, line, value, limit, hard in budgets(file):
            known = baseline.get(f'{rule} {key}', 0)
            over[f'{rule} {key}'] = value
            if hard is not None and value > hard:
                over.pop(f'{rule} {key}')
                print_finding(file.path, line, rule, f'{value} lines, hard limit {hard}: split it')
            elif value > known and not options.update_baseline:
                was = f', was {known}' if known else ''
                print_finding(file.path, line, rule, f'{key.split(" ")[-1]} has {value} lines{was}, budget {limit}: split it')
    check_dead(files, headers, cmake_text, report)
    check_documents(root, [p for p in paths if p.endswith('.md')], print_finding)
    check_codes(root, print_finding)

    if options.update_baseline:
        with open(baseline_path, 'w') as f:
            json.dump(over, f, indent=2, sort_keys=True)
            f.write('\n')
    for path, line, rule, advice in sorted(findings):
        print(f'{path}:{line}: [{rule}] {advice}')
    return 1 if findings else 0


BY_LINE = {'include-direction', 'public-header', 'library', 'pragma-once', 'own-header-first', 'dead-header', 'unbuilt'}

if __name__ == '__main__':
    sys.exit(main())
