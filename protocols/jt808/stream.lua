-- SPDX-License-Identifier: Apache-2.0
-- How bytes fall into frames, for the adapter and for simulated terminals.
local M = {}

--- @param check string? checksum; nil: none is looked at
function M.frame(check)
  return {
    kind = "escaped", magic = "~", escape = "}", escapes = { { "\1", "}" }, { "\2", "~" } },
    min = 15, max = 2100, lenient = true, check = check,
  }
end

--- Blocks of files between the messages, on connections for attachments: with names of 50 bytes,
--- or with the length of the name in front of it.
M.block = {
  kind = "length", magic = "01cd", size = "u32be", size_at = 58, min = 62, max = 65598,
}
M.counted_block = {
  kind = "length", magic = "01cd", size = "u32be", counted_at = 4, size_at = 9, max = 65804,
}

return M
