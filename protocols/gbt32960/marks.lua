-- SPDX-License-Identifier: Apache-2.0
-- "abnormal" and "invalid" stand on the wire where a value would. In messages they are kept
-- apart: the member is absent (in a list: null), and its path is in the list of that name
-- beside it, with indices as JSON counts them. So a number is a number wherever it is
-- there.
local tg = require "tidegate"

local M = {}

local WORDS = { abnormal = true, invalid = true }

local function path_of(at, key)
  if type(key) == "number" then return ("%s[%d]"):format(at, key - 1) end
  return at == "" and key or at .. "." .. key
end

local function take(record, at, found)
  for key, value in pairs(record) do
    if WORDS[value] then
      local list = found[value]
      list[#list + 1] = path_of(at, key)
      record[key] = type(key) == "number" and tg.json.null or nil
    elseif type(value) == "table" then
      take(value, path_of(at, key), found)
    end
  end
end

--- Changes `record`.
---@param counts? table to which is added how many there were: abnormal, invalid
function M.apart(record, counts)
  local found = { abnormal = {}, invalid = {} }
  take(record, "", found)
  for word, list in pairs(found) do
    table.sort(list)
    if #list > 0 then record[word] = list end
    if counts then counts[word] = counts[word] + #list end
  end
end

local function copy(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for k, v in pairs(value) do out[k] = copy(v) end
  return out
end

local function put(record, path, word)
  local at, last = record, nil
  for name, index in path:gmatch "([^%.%[]*)%[?(%d*)%]?%.?" do
    for _, key in ipairs { name ~= "" and name or false, tonumber(index) or false } do
      if key then
        if last then at = at[last] end
        if type(at) ~= "table" then return nil, "no such member: " .. path end
        last = type(key) == "number" and key + 1 or key
      end
    end
  end
  if not last then return nil, "an empty path" end
  at[last] = word
  return true
end

--- A copy with the marks where the wire has them.
---@return table? record
---@return string? why
function M.together(record)
  local out = copy(record)
  for word in pairs(WORDS) do
    local list = out[word]
    out[word] = nil
    for _, path in ipairs(list or {}) do
      local ok, why = put(out, path, word)
      if not ok then return nil, why end
    end
  end
  return out
end

return M
