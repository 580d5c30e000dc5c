-- SPDX-License-Identifier: Apache-2.0
-- The standard's own types in layouts: B, W and D are BYTE, WORD and DWORD, whose two
-- highest values say "abnormal" and "invalid" instead of being one. From one text come two
-- layouts: values in units, and the numbers of the wire for those who want them. A line
-- that begins with S or R stands in the one or the other alone.
local tg = require "tidegate"

local M = {}

local SCALED = {
  B = "u8?0xFE=abnormal?0xFF=invalid",
  W = "u16be?0xFFFE=abnormal?0xFFFF=invalid",
  D = "u32be?0xFFFFFFFE=abnormal?0xFFFFFFFF=invalid",
}
local RAW = { B = "u8", W = "u16be", D = "u32be" }

local function scaled(line)
  if line:find "^%s*R " then return "" end
  return (line:gsub("^%s*S ", ""):gsub("([:%]])([BWD])%f[^%w]",
    function(before, kind) return before .. SCALED[kind] end))
end

local function raw(line)
  if line:find "^%s*S " then return "" end
  line = line:gsub("^%s*R ", "")
  local head, kind, rest = line:match "^(%s*[%w_]+:%[?[%w_*]*%]?)([BWD])%f[^%w](.*)$"
  if not head then return line end
  return head .. RAW[kind] .. (rest:match " if .*" or "")
end

local function each_line(text, how)
  return (text:gsub("[^\n]+", how))
end

--- @return tg.Layout values in units
--- @return tg.Layout numbers as they are on the wire
--- @return string the first one's text
function M.struct(text)
  local values = each_line(text, scaled)
  return tg.struct(values), tg.struct(each_line(text, raw)), values
end

return M
