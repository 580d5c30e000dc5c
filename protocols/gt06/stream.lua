-- SPDX-License-Identifier: Apache-2.0
-- How bytes fall into frames, for the adapter and for simulated trackers: two forms, whose
-- lengths have one byte or two.
local function frame(magic, size, min, max)
  return {
    kind = "length", magic = magic, size = size, size_at = 2, size_adjust = 2,
    min = min, max = max, trailer = "\r\n", lenient = true,
    check = "crc16/x25", check_be = true, check_from = 2, check_tail = 2,
  }
end

return { frame("xx", "u8", 10, 260), frame("yy", "u16be", 11, 2048) }
