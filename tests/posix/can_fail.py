#!/usr/bin/env python3
"""Shows that the POSIX suite and fsx can fail: breaks one rule after the other (broken_rules.cc) and demands that it is found.

usage: HEARTH_BIN=build/release/bin can_fail.py LIBRARY DIRECTORY
"""
import os
import subprocess
import sys

# A broken rule, and the tests of the suite that must find it; 'fsx': hearth-fsx must, too.
RULES = {
    'exclusive': ['Open.ExclusiveRefusesAnyExistingName', 'Open.ExclusiveHasOneWinner'],
    'append': ['Open.AppendSeesWhatOthersAppended', 'Open.AppendOfProcessesLosesNothing'],
    'truncate-at-open': ['Open.TruncateEmptiesTheFile', 'Open.TruncateIsSeenByHandlesThatAreOpen'],
    'no-follow': ['Open.NoFollowRefusesASymlinkAtTheEndOnly'],
    'directory-only': ['Open.DirectoryFlagDemandsOne'],
    'no-links': ['Unlink.AnOpenFileHasNoLinksAndKeepsItsAttributes', 'Directory.ThatWasRemovedIsEmptyAndHasNoLinks', 'fsx'],
    'link-count': ['Link.IsASecondNameOfTheSameFile', 'fsx'],
    'inode-number': ['Readdir.SaysTypeAndNumberAsStatDoes', 'Identity.StaysOverAllThatDoesNotReplaceTheFile'],
    'size': ['Truncate.GrowsWithZeros', 'Write.AtAnyOffsetReplacesAndExtends', 'fsx'],
    'modification-time': ['Times.ChmodAndChownMoveTheChangeTimeOnly', 'Times.RenameDoesNotMoveTheModificationTime'],
    'change-time': ['Times.ChmodAndChownMoveTheChangeTimeOnly', 'Utimens.MovesTheChangeTime'],
    'sticky-bits': ['Chmod.SetsAllTwelveBits'],
    'lost-write': ['Write.OfTwoProcessesAtOneTimeKeepsBoth', 'Open.TwoOpensSeeEachOthersWritesAtOnce', 'fsx'],
    'truncate': ['Truncate.OfAHandleIsSeenByAll', 'Map.OfTruncatedBytesIsSigbus', 'fsx'],
    'rename': ['Rename.MovesAFileWithAllItHas', 'Rename.ReplacesAFile', 'fsx'],
    'rename-flags': ['Rename.NoReplaceRefusesAnExistingName', 'RenameExchange.SwapsTwoFiles'],
    'unlink': ['Unlink.TakesTheName', 'Unlink.NothingOfAnOpenFileStaysInTheDirectory'],
    'umask': ['Open.UmaskTakesBitsOfTheMode', 'Directory.IsMadeWithTheModeLessTheUmask'],
    'mode': ['Chmod.SetsAllTwelveBits', 'Unlink.InAStickyDirectoryIsForTheOwnerOfTheFileOrTheDirectory'],
    'group': ['Chown.RootGivesFilesAway', 'SetgidDirectory.GivesItsGroupToNewEntries'],
    'access': ['Permission.OfAFileAreThoseOfTheClass', 'Access.OfMissingAndWrongPaths'],
    'nanoseconds': ['Utimens.SetsNanoseconds', 'Utimens.OmitLeavesATime'],
    'flock': ['Flock.ExclusiveKeepsAllOthersOut', 'Flock.IsNotUpgradedWhileOthersShare'],
    'record-locks': ['RecordLock.IsSplitMergedAndReplaced', 'DescriptionLock.BelongsToTheOpenFile'],
    'name-is-skipped': ['Readdir.TenThousandNamesComeOnceEach', 'Readdir.WhatStaysComesOnceThoughOthersAreRemoved'],
    'entry-type': ['Readdir.SaysTypeAndNumberAsStatDoes'],
    'entry-number': ['Readdir.SaysTypeAndNumberAsStatDoes'],
    'shared-mapping': ['SharedMap.WritesAreReadAtOnce', 'SharedMap.WritesAreThereAfterSyncAndReopen', 'fsx'],
    'data-is-a-hole': ['Hole.SeekFindsAllData', 'Hole.SeekSeesDataThatIsNotSyncedYet'],
    'holes': ['PunchHole.ZeroesTheRangeAndKeepsTheSize', 'Fallocate.GrowsTheFileWithZeros', 'fsx'],
    'copy': ['Copy.FileRangeCopies', 'Copy.FileRangeTakesBytesThatAreNotSyncedYet', 'fsx'],
    'access-list': ['Acl.GivesNamedUsersAndGroupsTheirBits', 'Acl.DefaultIsInheritedByFilesAndIgnoresTheUmask'],
    'xattr-flags': ['Xattr.CreateAndReplaceFlags'],
    'sync': ['Sync.OfFilesAndDirectoriesWorks', 'fsx'],
    'statfs': ['Statfs.SaysWhatCanBe'],
}


def main():
    library, directory = sys.argv[1:]
    programs = os.environ['HEARTH_BIN']

    def run(program, *flags, rule=None):
        env = dict(os.environ)
        if rule:
            env.update(LD_PRELOAD=library, HEARTH_BROKEN_RULE=rule)
        done = subprocess.run([os.path.join(programs, program), '--path', directory, *flags], env=env, capture_output=True,
                              text=True, errors='replace', timeout=120)
        return done.returncode, done.stdout + done.stderr

    def fsx(rule=None):
        return run('hearth-fsx', '--ops', '3000', '--seed', '3', rule=rule)

    tests = sorted({test for names in RULES.values() for test in names if test != 'fsx'})
    for status, text in (run('hearth-posix-suite', '--gtest_filter=' + ':'.join(tests)), fsx()):
        if status == 77:
            print(text)
            return 77
        if status != 0:
            print(f'fails where nothing is broken ({status}):\n{text}')
            return 1
    unfound = []
    for rule, names in RULES.items():
        for name in names:
            if name == 'fsx':
                status, text = fsx(rule)
                found = status == 1 and 'the last operations on this file' in text
            else:
                status, text = run('hearth-posix-suite', '--gtest_filter=' + name, rule=rule)
                found = status == 1 and f'[  FAILED  ] {name}' in text
            print(f'{rule}: {name}: {"found" if found else "NOT FOUND"}')
            if not found:
                unfound.append(f'{rule}: {name}, status {status}\n{text}')
    print('\n'.join(unfound))
    return 1 if unfound else 0


if __name__ == '__main__':
    sys.exit(main())
