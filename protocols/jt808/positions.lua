-- SPDX-License-Identifier: Apache-2.0
-- What layouts cannot see in a message with positions: alarms in other dialects of the active
-- safety texts, and the hemisphere of positions inside of extra items, which only the status
-- word of the whole position has. finish() is for what was decoded, undo() for what will be
-- encoded.
local subiao = require "subiao_items"

local M = {}

--- Calls `visit(extras, south, west)` for each position of a record.
local function each(data, visit)
  local function one(position)
    local status = type(position) == "table" and position.status_raw
    if status and type(position.extras) == "table" then
      visit(position.extras, status & 4 ~= 0, status & 8 ~= 0)
    end
  end
  one(data)
  one(data.location)
  for _, item in ipairs(type(data.items) == "table" and data.items or {}) do one(item) end
end

function M.finish(data) each(data, subiao.reread) end

local function copy(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for key, item in pairs(value) do out[key] = copy(item) end
  return out
end

--- The record as the layouts have it; the caller's stays as it is.
function M.undo(data)
  local found = false
  each(data, function() found = true end)
  if not found then return data end
  local out = copy(data)
  each(out, subiao.unread)
  return out
end

return M
