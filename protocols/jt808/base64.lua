-- SPDX-License-Identifier: Apache-2.0
-- Base64, for JSON that carries bytes so.
local M = {}

local CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local char_of, value_of = {}, {}
for i = 0, 63 do
  char_of[i] = CHARS:sub(i + 1, i + 1)
  value_of[CHARS:byte(i + 1)] = i
end

function M.encode(bytes)
  local out, n = {}, 0
  for at = 1, #bytes, 3 do
    local a, b, c = bytes:byte(at, at + 2)
    local bits = a << 16 | (b or 0) << 8 | (c or 0)
    n = n + 1
    out[n] = char_of[bits >> 18] .. char_of[bits >> 12 & 63]
      .. (b and char_of[bits >> 6 & 63] or "=") .. (c and char_of[bits & 63] or "=")
  end
  return table.concat(out)
end

--- @return string? bytes nil: it is no Base64
function M.decode(text)
  local out, bits, width = {}, 0, 0
  for i = 1, #text do
    local value = value_of[text:byte(i)]
    if not value then
      if not text:find("^[=%s]*$", i) then return nil end
      break
    end
    bits, width = (bits << 6 | value) & 0xFFFFFF, width + 6
    if width >= 8 then
      width = width - 8
      out[#out + 1] = string.char(bits >> width & 0xFF)
    end
  end
  return table.concat(out)
end

return M
