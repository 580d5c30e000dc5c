-- SPDX-License-Identifier: Apache-2.0
-- Every field of every block against the standard's tables (tables.lua): least and greatest value,
-- scale and offset, what is beyond them, and the marks for "abnormal" and "invalid".
local cjson = require "cjson"
local offline = require "support.offline"
local tables = dofile "spec/protocols/gbt32960/tables.lua"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local VIN = "LTEST000000009016"

local WIDTH = { B = 1, W = 2, D = 4 }

--- @return table[] fields, each with what it says of one name
local function read(text)
  local fields = {}
  for line in text:gmatch "[^\n]+" do
    local name, kind, rest = line:match "^(%S+) (%S+) ?(.*)$"
    local field = { name = name, width = WIDTH[kind] }
    if name == "=" then
      field.bytes = vectors.unhex(kind)
    elseif rest:find "^%d+=" then
      field.words = {}
      for number, word in rest:gmatch "(%d+)=(%S+)" do field.words[tonumber(number)] = word end
    else
      local scale, offset, least, most = rest:match "^(%S+) (%S+) (%S+) (%S+)"
      field.on = tonumber(rest:match "on=(%d+)")
      field.scale, field.offset = tonumber(scale), tonumber(offset)
      field.least, field.most = tonumber(least), tonumber(most)
    end
    fields[#fields + 1] = field
  end
  return fields
end

--- The block with `value` in one field, and in the others one that is right.
local function block_of(code, fields, which, value)
  local parts = { string.char(code) }
  for i, field in ipairs(fields) do
    local number = i == which and value or field.words and 1 or field.least or 1
    parts[i + 1] = field.bytes or string.pack(">I" .. field.width, number)
  end
  return table.concat(parts)
end

--- The member of a record that `name` stands for. @return value, record it is in, its own path
local function find(record, name)
  local path = name:gsub("^items%.", "items[0]."):gsub("%[%]$", "[0]")
  local at = record
  if name:find "^items%." then at, name = at.items[1], name:sub(7) end
  local list = name:match "^(.+)%[%]$"
  if list then return at[list] and at[list][1], at[list], path, 1 end
  return at[name], at, path, name
end

local function told(list, path)
  for _, one in ipairs(list or {}) do
    if one == path then return true end
  end
  return false
end

local function near(a, b) return type(a) == "number" and math.abs(a - b) < 1e-6 end

--- What is to be said of one number of a field. @return check(record, flaws)
local function expectations(field)
  local out, top = {}, 1 << 8 * field.width
  local function value(number, want)
    out[#out + 1] = { number, function(record)
      local got = find(record, field.name)
      return got == want or type(want) == "number" and near(got, want), got
    end }
  end
  local function mark(number, word)
    out[#out + 1] = { number, function(record)
      local got, _, path = find(record, field.name)
      return (got == nil or got == cjson.null) and told(record[word], path), got
    end }
  end
  local function beyond(number)
    out[#out + 1] = { number, function(record, flaws)
      local got, home, path, key = find(record, field.name)
      local raw = type(key) == "string" and home[key .. "_raw"] or number
      local name = path:match "([%w_]+)[%[%]%d]*$"
      return (got == nil or got == cjson.null) and raw == number
        and table.concat(flaws or {}, " "):find(name, 1, true) ~= nil, got
    end }
  end
  for number, word in pairs(field.words or {}) do value(number, word) end
  if field.least then
    for _, number in ipairs { field.least, field.most } do
      value(number, number * field.scale + field.offset)
    end
    if field.most + 1 < top - 2 then beyond((field.on or field.most) + 1) end
    if field.least > 0 then beyond(field.least - 1) end
  elseif not field.words then
    value(7, 7 * field.scale + field.offset)
  end
  mark(top - 2, "abnormal")
  mark(top - 1, "invalid")
  return out
end

--- Frames, each behind a login of its edition. @return their published messages
local function publish(edition, blocks)
  local start = edition == 2016 and "##" or "$$"
  local commands = { 'open {"cells":"pass"}', "connect 192.0.2.1:5000",
    "feed 1 " .. vectors.login(start, VIN) }
  for _, block in ipairs(blocks) do
    commands[#commands + 1] = "feed 1 "
      .. vectors.frame(start, 2, 0xFE, VIN, vectors.TIME .. block)
  end
  local events, out = offline.run(vectors.path, commands), {}
  for i in ipairs(blocks) do
    out[i] = cjson.decode(offline.of(events[i + 3], "publish")[1].payload)
  end
  return out
end

describe("gbt32960 fields", function()
  for edition, blocks in pairs(tables.BLOCKS) do
    it(("of %d have their scale, offset, range and marks"):format(edition), function()
      local frames, checks = {}, {}
      for _, block in ipairs(blocks) do
        local code, name, fields = block[1], block[2], read(block[3])
        for which, field in ipairs(fields) do
          for _, one in ipairs(field.bytes and {} or expectations(field)) do
            frames[#frames + 1] = block_of(code, fields, which, one[1])
            checks[#checks + 1] = { name = name, field = field.name, number = one[1],
              holds = one[2] }
          end
        end
      end
      for i, json in ipairs(publish(edition, frames)) do
        local c = checks[i]
        local good, got = c.holds(assert(json[c.name], c.name), json.flaws)
        assert.is_true(good, ("%s.%s with %d is %s: %s"):format(c.name, c.field, c.number,
          tostring(got), cjson.encode(json)))
      end
      assert.is_true(#frames > 150)
    end)
  end
end)

-- ---- bits --------------------------------------------------------------------------------------

local function alarm(edition, flags, tail)
  local lists = edition == 2016 and "\0\0\0\0" or "\0\0\0\0\0"
  return (edition == 2016 and "\7" or "\6") .. string.pack(">BI4", 1, flags) .. (tail or lists)
end

local function vehicle_of(edition, gear)
  local fields = read(tables.BLOCKS[edition][1][3])
  for _, field in ipairs(fields) do
    if field.bytes then field.bytes = string.char(gear) end
  end
  return block_of(1, fields)
end

describe("gbt32960 bits", function()
  for _, edition in ipairs { 2016, 2025 } do
    it(("of alarms have the names of %d, and reserved ones are kept"):format(edition), function()
      local blocks = {}
      for bit = 0, 31 do blocks[bit + 1] = alarm(edition, 1 << bit) end
      for i, json in ipairs(publish(edition, blocks)) do
        assert.equal(1 << i - 1, json.alarm.flags_raw)
        local name = i <= tables.NAMED[edition] and tables.ALARMS[i] or "bit" .. i - 1
        assert.same({ name }, json.alarm.flags)
      end
    end)

    it(("of the gear are those of %d"):format(edition), function()
      local blocks = {}
      for gear = 0, 255 do blocks[gear + 1] = vehicle_of(edition, gear) end
      local names = { [0] = "N", [13] = "R", [14] = "D", [15] = "P" }
      for i, json in ipairs(publish(edition, blocks)) do
        local gear, v = i - 1, json.vehicle
        assert.equal(names[gear & 15] or tostring(gear & 15), v.gear)
        assert.equal(gear & 16 > 0, v.brake_force)
        assert.equal(gear & 32 > 0, v.drive_force)
        if edition == 2025 then assert.equal(gear & 128 > 0, v.gear_invalid) end
      end
    end)

    it(("of positions give the sign and the fix, in %d"):format(edition), function()
      local blocks = {}
      for status = 0, 7 do
        local datum = edition == 2025 and string.char(status % 3 + 1) or ""
        blocks[status + 1] = string.pack(">BB", 5, status) .. datum
          .. string.pack(">I4I4", 121473700, 31230400)
      end
      for i, json in ipairs(publish(edition, blocks)) do
        local status, p = i - 1, json.position
        assert.equal(status & 1 > 0 and "last_known" or "valid", p.fix)
        assert.is_true(near(p.latitude, status & 2 > 0 and -31.2304 or 31.2304))
        assert.is_true(near(p.longitude, status & 4 > 0 and -121.4737 or 121.4737))
        local data = { [0] = "WGS84", "GCJ02", "other" }
        assert.equal(edition == 2025 and data[status % 3] or nil, p.datum)
      end
    end)

    it(("of fault lists have eight digits a code, in %d"):format(edition), function()
      local more = edition == 2025 and "\2\23\4\1\1" or ""
      local lists = "\1\x12\x34\x56\x78\1\0\0\0\2\1\0\0\0\3\2\0\0\0\4\xFF\xFF\xFF\xFE"
      local some = publish(edition, { alarm(edition, 0, lists .. more) })[1]
      local a = some.alarm
      assert.same({ "12345678" }, a.storage_faults)
      assert.same({ "00000002" }, a.motor_faults)
      assert.same({ "00000003" }, a.engine_faults)
      assert.same({ "00000004", "fffffffe" }, a.other_faults)
      assert.same(edition == 2025 and { { bit = 23, level = 4 }, { bit = 1, level = 1 } } or nil,
        a.general_faults)
    end)
  end

  it("that count items, cells and probes are marks without a list behind them", function()
    local counts = {
      [2016] = { "\2<1>", "\8<1>", "\9<1>", "\9\1\1<2>", "\8\1\1\0\1\0\1\0\1\0\1<1>",
        "\3\0\1\0\1\0\1<2>\0\1\1\0\1\1\0\1\1\1",
        "\7\1\0\0\0\0<1>\0\0\0", "\7\1\0\0\0\0\0<1>\0\0", "\7\1\0\0\0\0\0\0<1>\0",
        "\7\1\0\0\0\0\0\0\0<1>" },
      [2025] = { "\2<1>", "\7<1>", "\8<1>", "\x30<1>", "\7\1\1\0\1\0\1<2>", "\8\1\1<2>",
        "\x30\1\1\0\1\0\1\0\1\0\1\1<2>", "\x31\1\0\1\0\1<2>\0\0",
        "\x31\1\0\1\0\1\0\0<2>", "\6\1\0\0\0\0\0\0\0\0<1>" },
    }
    local marks = { ["<1>"] = { "\xFE", "\xFF" }, ["<2>"] = { "\xFF\xFE", "\xFF\xFF" } }
    for edition, templates in pairs(counts) do
      local tail = edition == 2016 and "\4\1\0\1\0\2" or "\4\0\1"
      local blocks = {}
      for _, template in ipairs(templates) do
        for i = 1, 2 do
          blocks[#blocks + 1] = template:gsub("<.>", function(m) return marks[m][i] end) .. tail
        end
      end
      for i, json in ipairs(publish(edition, blocks)) do
        local where = vectors.hex(blocks[i])
        assert.is_nil(json.rest, where)
        assert.is_nil(json.flaws, where)
        assert.equal(1, json.engine.crankshaft_rpm, where)
        local word = i % 2 == 1 and '"abnormal":[' or '"invalid":['
        assert.truthy(cjson.encode(json):find(word, 1, true), where)
      end
    end
  end)

  it("count more cells than a frame may have: a flaw, and they are read", function()
    local unit = "\8\1\1\0\1\0\1\1\0\0\1"
    local most, more = table.unpack(publish(2016, { unit .. "\200" .. ("\0\1"):rep(200),
      unit .. "\201" .. ("\0\1"):rep(201) }))
    assert.is_nil(most.flaws)
    assert.equal(200, #most.storage_voltages.items[1].cell_voltages_v)
    assert.truthy(more.flaws[1]:find "cell_count")
    assert.equal(201, #more.storage_voltages.items[1].cell_voltages_v)
  end)
end)
