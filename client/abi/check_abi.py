#!/usr/bin/env python3
"""Compares what libhearth.so shows with the list beside this file; ends with 1, a diff and what to do when they differ.

usage: check_abi.py LIBHEARTH_SO [--update] [--list FILE]
"""
import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# Nothing else may be seen: a program may bring its own Asio or protobuf.
PUBLIC = re.compile(r'^(hearth_\w+@@HEARTH_|_ZNK?6hearth(12Cancellation|6Client|4File|12WritableFile)\w+@@HEARTHXX_|_ZN6hearth(15code_from_errno|22caller_of_this_process|7version)E\w+@@HEARTHXX_)')

HOW = """
What to do:
 - A symbol was added: put it into client/cmake/libhearth.map (C functions of a released version into a new version node), then
     {me} LIBHEARTH_SO --update
 - A symbol was removed or changed its name (another signature is another name): programs that are linked do not start any
   more. Keep the old one beside the new one; or raise the version of the project that the soname comes from (the minor one
   before 1.0, the major one since: CMakeLists.txt), name the break in CHANGELOG.md, then --update.
 - The soname must change as well when the list stays but a class or struct of the C++ headers does not: a field, a base, a
   default argument. The structs of hearth.h are pinned by client/src/c_api.cc.
"""


def shown_by(library):
    lines = subprocess.run(['nm', '-D', '--defined-only', '--with-symbol-versions', library], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    symbols = {line.split()[-1] for line in lines if line.split()[-2] != 'A'}  # A: the version nodes themselves
    soname = re.search(r'SONAME.*\[(.*)\]', subprocess.run(['readelf', '-d', library], check=True, capture_output=True,
                                                         text=True).stdout)
    return {'soname ' + (soname.group(1) if soname else 'missing')} | symbols


def readable(symbol):
    name, at, version = symbol.partition('@@')
    plain = subprocess.run(['c++filt', name], check=True, capture_output=True, text=True).stdout.strip()
    return symbol if plain == name else f'{plain} {at}{version}'


def compare(shown, listed):
    """What is wrong, one line each."""
    faults = [f'not public: {readable(s)}' for s in sorted(shown) if not s.startswith('soname ') and not PUBLIC.match(s)]
    faults += [f'- {readable(s)}' for s in sorted(listed - shown)]
    faults += [f'+ {readable(s)}' for s in sorted(shown - listed)]
    return faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('library')
    parser.add_argument('--update', action='store_true')
    parser.add_argument('--list', default=os.path.join(HERE, 'libhearth.symbols'))
    args = parser.parse_args()
    shown = shown_by(args.library)
    if args.update:
        with open(args.list, 'w', encoding='utf-8') as f:
            f.write(''.join(s + '\n' for s in sorted(shown)))
        return 0
    with open(args.list, encoding='utf-8') as f:
        listed = set(f.read().split('\n')) - {''}
    faults = compare(shown, listed)
    if not faults:
        return 0
    print(f'{args.library} and {args.list} differ (- listed only, + shown only):')
    print('\n'.join(faults))
    print(HOW.format(me=os.path.relpath(__file__)))
    return 1


if __name__ == '__main__':
    sys.exit(main())
