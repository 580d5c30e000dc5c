-- SPDX-License-Identifier: Apache-2.0
-- How bytes fall into frames, for the adapter and for simulated vehicles. 8 KiB of unit: ten
-- times what is seen in the wild. The encryption byte has few values.
return {
  kind = "length", magic = { "##", "$$" }, size = "u16be", size_at = 22, size_adjust = 1,
  min = 25, max = 25 + 8192, check = "xor8", check_from = 2, check_tail = 0,
  guard_at = 21, guard = "\0\1\2\3\4\5\xFE\xFF",
}
