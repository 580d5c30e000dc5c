-- SPDX-License-Identifier: Apache-2.0
-- Medians and Markdown tables.
local cjson = require "cjson"

local M = {}

function M.median(list)
  if #list == 0 then return nil end
  table.sort(list)
  local mid = #list // 2
  return #list % 2 == 1 and list[mid + 1] or (list[mid] + list[mid + 1]) / 2
end

--- Keeps one run's numbers: samples[scenario][who][key] = list.
function M.add(samples, scenario, who, result)
  local row = samples[scenario] or {}
  samples[scenario] = row
  row[who] = row[who] or {}
  for key, value in pairs(result) do
    if type(value) == "number" then
      row[who][key] = row[who][key] or {}
      table.insert(row[who][key], value)
    end
  end
end

function M.value(samples, scenario, who, key)
  local row = samples[scenario] and samples[scenario][who]
  return row and row[key] and M.median(row[key])
end

function M.number(v, digits)
  if not v then return "–" end
  local text = ("%." .. (digits or 0) .. "f"):format(v)
  local whole, rest = text:match "^(%-?%d+)(.*)$"
  whole = whole:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^(%-?),", "%1")
  return whole .. rest
end

function M.ratio(a, b)
  return a and b and b > 0 and ("%.2f"):format(a / b) or "–"
end

function M.row(cells) print("| " .. table.concat(cells, " | ") .. " |") end

function M.head(cells)
  M.row(cells)
  local lines = {}
  for i = 1, #cells do lines[i] = i == 1 and "---" or "---:" end
  M.row(lines)
end

--- @return how many promises were not kept
function M.fleets(samples, fleets)
  print "\n### Devices over TCP, through Lua adapters\n"
  M.head { "what", "reports/s", "promised", "CPU µs each", "answer p50 ms", "p99 ms" }
  local broken = 0
  local function of(fleet, key) return M.value(samples, fleet.name, "tidegate", key) end
  for _, fleet in ipairs(fleets) do
    local rate, idle = of(fleet, "rate"), fleet.bytes
    local kept = not fleet.rate or rate >= fleet.rate
    if idle then kept = of(fleet, "bytes") <= idle end
    if not kept then broken = broken + 1 end
    local promised = fleet.rate and M.number(fleet.rate) or idle and M.number(idle) or "–"
    if not kept then promised = promised .. ", **not kept**" end
    if idle then
      M.row { fleet.name, M.number(of(fleet, "bytes")) .. " bytes each", promised, "–", "–", "–" }
    else
      M.row { fleet.name, M.number(rate), promised, M.number(of(fleet, "cpu_us"), 2),
        M.number(of(fleet, "p50_us") / 1000, 1), M.number(of(fleet, "p99_us") / 1000, 1) }
    end
  end
  return broken
end

function M.beside(samples, windows)
  print "\n### JT/T 808 over TCP, 1,000 terminals, each report answered, one core\n"
  M.head { "in flight", "server", "reports/s", "CPU µs each", "p50 ms", "p99 ms", "answered" }
  for _, window in ipairs(windows) do
    for _, who in ipairs { "tidegate", "other" } do
      local function of(key) return M.value(samples, window, who, key) end
      if of "rate" then
        M.row { window, who, M.number(of "rate"), M.number(of("cpu_us"), 2),
          M.number(of "p50_us" / 1000, 1), M.number(of "p99_us" / 1000, 1), M.number(of "answers") }
      end
    end
  end
end

--- Server time for a report as a part of what the other one needs with one in flight.
function M.ratios(samples, windows)
  local theirs = M.value(samples, 1, "other", "cpu_us")
  for _, window in ipairs(windows) do
    print(("\n%d in flight: %.2f of the other server's time for a report"):format(window,
      M.value(samples, window, "tidegate", "cpu_us") / theirs))
  end
end

--- Takes a program's result lines.
function M.collect(results, text)
  for line in text:gmatch "[^\n]+" do
    local r = cjson.decode(line)
    local entry = results[r.name]
    if not entry then
      entry = { name = r.name, unit = r.unit, target = r.target, better = r.better, values = {} }
      results[r.name] = entry
      results[#results + 1] = entry
    end
    table.insert(entry.values, r.value)
  end
end

--- Sizes in rows, numbers in columns. @param columns { { name, unit, digits? } }
function M.growth(what, rows, columns)
  local titles = { what }
  for _, c in ipairs(columns) do titles[#titles + 1] = ("%s, %s"):format(c[1], c[2]) end
  print ""
  M.head(titles)
  for _, r in ipairs(rows) do
    local cells = { M.number(r.n) }
    for _, c in ipairs(columns) do cells[#cells + 1] = M.number(r[c[1]], c[3]) end
    M.row(cells)
  end
end

--- @return how many promises were not kept
function M.promises(what, results)
  print(("\n### %s\n"):format((what:gsub("^%l", string.upper))))
  M.head { "what", "measured", "promised", "kept" }
  local broken = 0
  for _, r in ipairs(results) do
    local v = M.median(r.values)
    local digits = math.abs(v) < 100 and 2 or 0
    local kept = true
    if r.target then
      if r.better == "more" then kept = v >= r.target else kept = v <= r.target end
    end
    if not kept then broken = broken + 1 end
    local target = r.target and M.number(r.target, r.target < 100 and 2 or 0) .. " " .. r.unit
    M.row { r.name, M.number(v, digits) .. " " .. r.unit, target or "–",
      kept and "yes" or "**no**" }
  end
  return broken
end

return M
