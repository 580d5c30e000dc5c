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

--- Blocks of files between the messages, on connections for attachments.
M.block = {
  kind = "length", magic = "01cd", size = "u32be", size_at = 58, min = 62, max = 65598,
}

return M
