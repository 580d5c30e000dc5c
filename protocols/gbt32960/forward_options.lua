-- SPDX-License-Identifier: Apache-2.0
-- The option `forward`: a list of upper platforms. Each entry is checked here, since a schema
-- ends at the list: a wrong name or type is an error of the plugin's load.
local tg = require "tidegate"

local M = {}

--- name → type, default (nil: none), least and greatest.
local FIELDS = {
  name = { "string" },
  host = { "string" }, port = { "integer", nil, 1, 65535 },
  tls = { "boolean", false }, insecure = { "boolean", false },
  ca_file = { "string", "" }, cert_file = { "string", "" }, key_file = { "string", "" },
  user = { "string", "" }, password = { "secret", "" },
  platform = { "string" },
  edition = { "integer", 2016, 2016, 2025 },
  vins = { "table" },
  relogin = { "boolean", true },
  window = { "integer", 32, 1, 256 },
  reissue_rate = { "integer", 100, 1, 100000 },
  max_bytes = { "size", "1GiB" }, max_age = { "duration", "7d" },
  answer_timeout = { "duration", "1m" },
  retry = { "duration", "1m" }, tries = { "integer", 3, 1, 10 },
  login_wait = { "duration", "30m" },
  backoff = { "duration", "1s" }, backoff_max = { "duration", "1m" },
}
local REQUIRED = { "host", "port", "platform", "vins" }

local UNITS = { ms = 0.001, s = 1, m = 60, h = 3600, d = 86400 }

--- @return number? seconds
local function seconds(value)
  if type(value) == "number" then return value >= 0 and value or nil end
  local n, unit = tostring(value):match "^(%d+)(%a+)$"
  return n and UNITS[unit] and tonumber(n) * UNITS[unit]
end

local function fault(where, ...) error(("forward[%s]: "):format(where) .. string.format(...), 0) end

local function check(where, name, field, value)
  local kind, least, most = field[1], field[3], field[4]
  if kind == "duration" then
    return seconds(value) or fault(where, "%s: a duration, e.g. \"5s\"", name)
  end
  if kind == "size" then return value end -- the spool knows sizes
  if kind == "secret" and (type(value) == "string" or type(value) == "userdata") then
    return value
  end
  local is = math.type(value) == "integer" and "integer" or type(value)
  if is ~= kind then fault(where, "%s: expected %s", name, kind) end
  if least and (value < least or value > most) then
    fault(where, "%s: %d to %d", name, least, most)
  end
  return value
end

--- "LTEST*" and such: `*` stands for anything.
local function pattern_of(where, text)
  if type(text) ~= "string" or not text:find "^[%w*]+$" then
    fault(where, "vins: letters, digits and *, not %s", tostring(text))
  end
  return "^" .. text:gsub("%*", ".*") .. "$"
end

local function read_one(i, entry)
  if type(entry) ~= "table" then fault(i, "expected a table") end
  local one = {}
  for name in pairs(entry) do
    if not FIELDS[name] then fault(i, "no such option: %s", tostring(name)) end
  end
  for _, name in ipairs(REQUIRED) do
    if entry[name] == nil then fault(i, "%s is missing", name) end
  end
  for name, field in pairs(FIELDS) do
    local value = entry[name]
    if value == nil then value = field[2] end
    if value ~= nil then one[name] = check(i, name, field, value) end
  end
  one.backoff = math.max(one.backoff, 0.01)
  if #one.platform > 17 then fault(i, "platform: at most 17 bytes") end
  if #one.user > 12 or #tg.crypto.reveal(one.password) > 20 then
    fault(i, "user has at most 12 bytes, password 20")
  end
  if one.edition ~= 2016 and one.edition ~= 2025 then fault(i, "edition: 2016 or 2025") end
  one.name = one.name or ("%s-%d"):format(one.host:gsub("[^%w.-]", "-"), one.port)
  if not one.name:find "^[%w._-]+$" or #one.name > 40 then
    fault(i, "name: at most 40 letters, digits, . _ -")
  end
  for k, text in ipairs(one.vins) do one.vins[k] = pattern_of(i, text) end
  one.index = i
  return one
end

--- @param list table as configured
--- @return table[] links, each with every option
function M.read(list)
  local links, names = {}, {}
  for i, entry in ipairs(list) do
    links[i] = read_one(i, entry)
    if names[links[i].name] then fault(i, "name: two links are called %s", links[i].name) end
    names[links[i].name] = true
  end
  return links
end

--- @return boolean
function M.wants(one, vin)
  for _, pattern in ipairs(one.vins) do
    if vin:find(pattern) then return true end
  end
  return false
end

return M
