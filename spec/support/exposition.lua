-- SPDX-License-Identifier: Apache-2.0
-- Prometheus' text format, read strictly: what a lenient scraper forgives is an error here.
--
--   local families = exposition.parse(text)
--   families["tidegate_sessions"].kind, .help, .series[1].labels.listener, .series[1].value
local M = {}

local NAME = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"
local LABEL = "^[a-zA-Z_][a-zA-Z0-9_]*$"
local PLAIN = { ["\\"] = "\\", ['"'] = '"', n = "\n" }

local function fail(line, n, why)
  error(("line %d: %s: %s"):format(n, why, line), 0)
end

--- `a="b",c="d"`, with what the format escapes. @return a table; nil and why not
local function labels_of(text)
  local labels, at = {}, 1
  while at <= #text do
    local name, from = text:match('^([^=,"]+)="()', at)
    if not name or not name:match(LABEL) then return nil, "a label's name" end
    if labels[name] then return nil, "a label twice" end
    local value = {}
    at = from
    while true do
      local piece, stop, after = text:match('^([^\\"]*)([\\"])()', at)
      if not piece then return nil, "a label's value has no end" end
      value[#value + 1] = piece
      at = after
      if stop == '"' then break end
      local escaped = PLAIN[text:sub(at, at)]
      if not escaped then return nil, "an escape that there is not" end
      value[#value + 1] = escaped
      at = at + 1
    end
    labels[name] = table.concat(value)
    if at > #text then break end
    if text:sub(at, at) ~= "," or at == #text then return nil, "what follows a label" end
    at = at + 1
  end
  return labels
end

local function sample(family, line, n)
  local series, value = line:match "^(.*) (%S+)$"
  local name, inner = (series or ""):match "^([^{]+){(.+)}$"
  name = name or series
  if name ~= family.name then fail(line, n, "no sample of " .. tostring(family.name)) end
  local labels, why = labels_of(inner or "")
  if not labels then fail(line, n, why) end
  local number = value:match "^%-?%d+$" and tonumber(value)
  if not number then fail(line, n, "a value") end
  if family.kind == "counter" and number < 0 then fail(line, n, "a counter below 0") end
  if family.seen[series] then fail(line, n, "a series twice") end
  family.seen[series] = true
  family.series[#family.series + 1] = { labels = labels, value = number }
end

--- @return family by name: { name, kind, help, series = { { labels, value }, … } }
function M.parse(text)
  if not utf8.len(text) then error("no UTF-8", 0) end
  if text:sub(-1) ~= "\n" then error("the last line has no end", 0) end
  local families, family, n = {}, nil, 0
  for line in text:gmatch "([^\n]*)\n" do
    n = n + 1
    local kind, name, rest = line:match "^# (%u+) (%S+) (.*)$"
    if kind == "HELP" then
      if not name:match(NAME) then fail(line, n, "a name") end
      if families[name] then fail(line, n, "a family twice") end
      if rest:gsub("\\\\", ""):gsub("\\n", ""):find "\\" then fail(line, n, "an escape") end
      family = { name = name, help = rest, series = {}, seen = {} }
      families[name] = family
    elseif kind == "TYPE" then
      if not family or name ~= family.name or family.kind then fail(line, n, "TYPE") end
      if rest ~= "counter" and rest ~= "gauge" then fail(line, n, "a kind") end
      family.kind = rest
    elseif not family or not family.kind then
      fail(line, n, "neither HELP, TYPE nor a sample of them")
    else
      sample(family, line, n)
    end
  end
  return families
end

--- The sum over the series whose labels are as `labels` says.
function M.sum(families, name, labels)
  local family, sum = families[name], 0
  for _, series in ipairs(family and family.series or {}) do
    local fits = true
    for key, value in pairs(labels or {}) do fits = fits and series.labels[key] == value end
    if fits then sum = sum + series.value end
  end
  return sum
end

return M
