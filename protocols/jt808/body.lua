-- SPDX-License-Identifier: Apache-2.0
-- Bodies of messages as layouts. Each one is a window that ends a byte before the end of the
-- frame, where the checksum is, so it can be run over the whole frame: the annotated view then
-- has no gaps. What a body has behind its known fields is `tail`.
local tg = require "tidegate"

local M = {}

function M.layout(text) return tg.struct("_:sized[*-1]{ " .. text .. " tail:rest }") end

--- The same layout in all editions.
function M.same(text)
  local layout = M.layout(text)
  return { ["2011"] = layout, ["2013"] = layout, ["2019"] = layout }
end

--- One for 2011 and 2013, another for 2019.
function M.split(old, new)
  local layout = M.layout(old)
  return { ["2011"] = layout, ["2013"] = layout, ["2019"] = M.layout(new) }
end

M.empty = M.same ""

return M
