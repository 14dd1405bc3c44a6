#!/usr/bin/env python3
"""The comparison of check_abi.py against made-up libraries."""
import unittest

from check_abi import compare

OPEN = 'hearth_open@@HEARTH_0.1'
STAT = '_ZNK6hearth6Client4statESt17basic_string_viewIcSt11char_traitsIcEE@@HEARTHXX_0.1'


class Compare(unittest.TestCase):
    def test_equal_lists_have_no_fault(self):
        self.assertEqual(compare({OPEN, STAT}, {OPEN, STAT}), [])

    def test_a_removed_symbol_is_named_readably(self):
        fault, = compare({OPEN}, {OPEN, STAT})
        self.assertTrue(fault.startswith('- hearth::Client::stat(std::basic_string_view<char'), fault)

    def test_an_added_symbol_is_named(self):
        self.assertEqual(compare({OPEN, 'hearth_new@@HEARTH_0.2'}, {OPEN}), ['+ hearth_new@@HEARTH_0.2'])

    def test_a_moved_version_is_a_removal_and_an_addition(self):
        self.assertEqual(len(compare({'hearth_open@@HEARTH_0.2'}, {OPEN})), 2)

    def test_a_symbol_of_the_inside_is_refused_even_when_listed(self):
        inside = '_ZN5boost4asio6detail9scheduler3runEv@@HEARTHXX_0.1'
        self.assertEqual(compare({inside}, {inside}), ['not public: boost::asio::detail::scheduler::run() @@HEARTHXX_0.1'])

    def test_another_soname_is_a_difference(self):
        self.assertEqual(compare({'soname libhearth.so.0.2'}, {'soname libhearth.so.0.1'}),
                         ['- soname libhearth.so.0.1', '+ soname libhearth.so.0.2'])


if __name__ == '__main__':
    unittest.main()
