-- SPDX-License-Identifier: Apache-2.0
-- Every vector through the adapter: values, the way back, every cut of the bytes, bad
-- input.
local cjson = require "cjson"
local offline = require "support.offline"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local all = vectors.load()

local function select(kind)
  local some, hexes = {}, {}
  for _, v in ipairs(all) do
    if v.kind == kind then some[#some + 1], hexes[#hexes + 1] = v, v.hex end
  end
  assert(#some > 0)
  return some, hexes
end

-- Not as the vector has it, on purpose.
local OTHERWISE = {
  -- contested: 2016 defines no marks for the insulation, and no value of 65535 either
  ["gbt32960-02-a6231222ff"] = "insulation",
}
-- Parameters are written in the order of their ids; the sender may choose another.
local OTHER_ORDER = { ["gbt32960-80-9d9c222e4e"] = true, ["gbt32960-81-1194e23bd3"] = true }

local UNIT_NAMES = {
  pack_codes = "codes", message = "message", level = "level", info = "info",
}

local function unit_value(data, name)
  return data[UNIT_NAMES[name] or name]
end

local ENUMS = {
  key_type = { RSA = 2, AES = 3, SM2 = 4, SM4 = 5 }, status = { ok = 1, failed = 2 },
  encryption = { none = 1, RSA = 2, AES = 3, SM2 = 4, SM4 = 5 },
  info = { ok = 0, chip_already_active = 1, vin_duplicate = 2 },
}

local function same_list(want, got)
  for i, value in ipairs(want) do
    if type(value) == "table" then return true end
    if got[i] ~= value then return false end
  end
  return #want == #got
end

--- Units other than reports: the members that have the same meaning.
local function check_unit(v, message)
  local data = message.unit_data or message.data
  if message.flag ~= 0xFE and message.cmd < 0x80 then -- of what it repeats, the time is told
    return assert.equal(v.expect.unit.time and v.expect.unit.time.value, data.time, v.id)
  end
  for name, want in pairs(v.expect.unit) do
    local got = unit_value(data, name)
    local at = v.id .. " " .. name
    if name:find "time$" then
      assert.equal(want.value ~= cjson.null and want.value or nil, got, at)
    elseif name == "iccid" or name == "chip_id" or name == "user" or name == "serial" then
      if type(want) ~= "table" then assert.equal(want, got, at) end
    elseif ENUMS[name] then
      assert.equal(want, ENUMS[name][got] or got, at)
    elseif name == "codes" then
      assert.is_true(same_list(want, got), at)
    end
  end
end

describe("gbt32960 decode", function()
  local some, hexes = select "valid"
  local out = vectors.decode(hexes)

  it("reads all values of all valid frames, in units and as on the wire", function()
    local reports = 0
    for i, v in ipairs(some) do
      assert.equal(1, #out[i], v.id)
      local message, header = out[i][1].message, v.expect.header
      assert.is_nil(message.refused, v.id)
      assert.equal(tonumber(header.command), message.cmd)
      assert.equal(tonumber(header.answer_flag), message.flag)
      assert.equal(header.vin, message.device)
      assert.equal(tonumber(v.edition), message.edition)
      if message.raw then
        local wrong = vectors.blocks_wrong(v.expect.unit.blocks or {}, message)
        if OTHERWISE[v.id] then
          assert.equal(1, #wrong)
          assert.truthy(wrong[1]:find(OTHERWISE[v.id], 1, true))
        else
          assert.same({}, wrong, v.id)
        end
        reports = reports + 1
      elseif not v.expect.error then
        check_unit(v, message)
      end
    end
    assert.is_true(reports > 40)
  end)

  it("reads parameters by name and the fields of an upgrade", function()
    local seen = 0
    for i, v in ipairs(some) do
      local unit, message = v.expect.unit, out[i][1].message
      for _, p in ipairs(unit and unit.parameters or {}) do
        local name = p.name
        if name == "alarm_report_period" then
          name = name .. (v.edition == "2016" and "_ms" or "_s")
        end
        assert.equal(p.raw, message.data.parameters[name], v.id .. " " .. p.id)
        seen = seen + 1
      end
      for name, value in pairs(unit and unit.upgrade or {}) do
        local own = name:gsub("^dial_name$", "apn"):gsub("^dial_", "")
        assert.equal(value, message.data.upgrade[own], v.id .. " " .. name)
        seen = seen + 1
      end
      if unit and unit.level then
        assert.equal(unit.level, message.data.level)
        assert.equal(unit.message, message.data.message)
      end
    end
    assert.is_true(seen > 20)
  end)

  it("writes the same bytes again, from the numbers of the wire and from values", function()
    local from_values = 0
    for i, v in ipairs(some) do
      local message = out[i][1].message
      if not OTHER_ORDER[v.id] then assert.equal(v.hex:lower(), message.again, v.id) end
      if message.again_scaled == v.hex:lower() then
        from_values = from_values + 1
      elseif message.again_scaled then -- a value out of its range has none to be written
        assert.truthy(message.again_scaled:find "is missing", v.id)
      end
    end
    assert.is_true(from_values > 40)
  end)

  it("says the same of the same frame, also when its kind is known", function()
    local commands, at = { "open {}", "connect 192.0.2.1:5000" }, {}
    for i, hex in ipairs(hexes) do
      at[i] = #commands + 1
      commands[#commands + 1], commands[#commands + 2] = "feed 1 " .. hex, "feed 1 " .. hex
    end
    local blocks = offline.run(vectors.path, commands)
    for i, v in ipairs(some) do
      local first = offline.of(blocks[at[i]], "message")
      if #first > 0 then -- the link may be closed for what it said before a login
        assert.same(first, offline.of(blocks[at[i] + 1], "message"), v.id)
      end
    end
  end)

  it("publishes what the tables say, with marks kept apart", function()
    for i, v in ipairs(some) do
      local message = out[i][1].message
      if message.members then
        local json = cjson.decode("{" .. message.members .. "}")
        assert.equal(v.expect.header.vin, json.vin)
        for _, block in ipairs(message.scaled) do
          local record = json[block.name]
          if block.record and record then
            for key, value in pairs(block.record) do
              if value == "abnormal" or value == "invalid" then
                assert.is_nil(record[key], v.id .. " " .. key)
                assert.truthy(table.concat(record[value], " "):find(key, 1, true))
              end
            end
          end
        end
        assert.is_nil(message.members:find(':"invalid"', 1, true), v.id)
        assert.is_nil(message.members:find(':"abnormal"', 1, true), v.id)
      end
    end
  end)
end)

describe("gbt32960 framing", function()
  local LINKS = 50 -- of one run of the plugin

  --- Every frame at every cut, one after the other on a link of its own.
  local function feed_cuts(some)
    local commands, checks = {}, {}
    local function add(...)
      for _, c in ipairs { ... } do commands[#commands + 1] = c end
    end
    for n, v in ipairs(some) do
      local link = (n - 1) % LINKS + 1
      if link == 1 then add "open {}" end
      add "connect 192.0.2.1:5000"
      for cut = 0, #v.hex - 2, 2 do
        add(("feed %d %s"):format(link, v.hex:sub(1, cut)),
          ("feed %d %s"):format(link, v.hex:sub(cut + 1)))
        checks[#checks + 1] = { at = #commands, vector = v, cut = cut / 2 }
      end
    end
    return offline.run(vectors.path, commands), checks
  end

  -- assert.same is slow, and asked ten thousand times.
  local function alike(a, b)
    if type(a) ~= "table" or type(b) ~= "table" then return a == b end
    for key, value in pairs(a) do
      if not alike(value, b[key]) then return false end
    end
    for key in pairs(b) do
      if a[key] == nil then return false end
    end
    return true
  end

  it("gives the same message at every cut of a frame", function()
    local blocks, checks = feed_cuts((select "valid"))
    local whole
    for _, c in ipairs(checks) do
      local got = offline.of(blocks[c.at], "message")
      if c.cut == 0 then
        whole = got
        assert.equal(1, #whole, c.vector.id)
      else
        local at = c.vector.id .. " cut after byte " .. c.cut
        if #offline.of(blocks[c.at - 1], "message") > 0 then error("came early: " .. at) end
        if not alike(whole, got) then assert.same(whole, got, at) end
      end
    end
  end)

  it("reads streams that are cut badly", function()
    local dir, commands, where = vectors.harness(), { "open {}" }, {}
    local some = select "chunks"
    for i, v in ipairs(some) do
      commands[#commands + 1] = "connect 192.0.2.1:5000"
      where[i] = #commands
      for _, chunk in ipairs(v.chunks) do
        commands[#commands + 1] = ("feed %d %s"):format(i, chunk)
      end
    end
    local blocks = offline.run(dir, commands)
    os.execute("rm -r " .. dir)
    for i, v in ipairs(some) do
      local got = {}
      for k in ipairs(v.chunks) do
        for _, e in ipairs(offline.of(blocks[where[i] + k], "message")) do
          got[#got + 1] = e.message.frame:upper()
        end
      end
      local want = {}
      for k, frame in ipairs(v.expect.frames) do want[k] = frame.hex end
      assert.same(want, got, v.id .. " " .. v.notes)
    end
  end)

  it("gets over noise, lies and wrong checksums", function()
    local some, hexes = select "negative"
    local out = vectors.decode(hexes)
    for i, v in ipairs(some) do
      local got, want = {}, v.expect.stream.frames
      for k, e in ipairs(out[i]) do got[k] = e.message.frame:upper() end
      assert.same(want, got, v.id .. " " .. v.notes)
    end
  end)

  it("gives no message for a frame whose checksum is wrong", function()
    local _, hexes = select "malformed"
    for _, events in ipairs(vectors.decode(hexes)) do assert.same({}, events) end
  end)
end)

describe("gbt32960 bad units", function()
  local some, hexes = select "negative"
  local out = vectors.decode(hexes)
  local by_note = {}
  for i, v in ipairs(some) do by_note[v.notes] = out[i][1] and out[i][1].message end

  it("keep what was read before a block that cannot be", function()
    for i, v in ipairs(some) do
      local message = out[i][1] and out[i][1].message
      local unit = v.expect.frame and v.expect.frame.unit
      if message and message.raw and unit and unit.blocks then
        assert.same({}, vectors.blocks_wrong(unit.blocks, message), v.id .. " " .. v.notes)
      end
    end
  end)

  it("are errors where the device is wrong, and not where a vendor's block is unknown", function()
    assert.equal("structure", by_note["motor count 5, one present"].error)
    assert.equal("structure", by_note["fuel cell probe count 0x7FFF"].error)
    assert.equal("structure", by_note["unit of 3 bytes"].error)
    assert.equal("structure", by_note["signature R longer than the data"].error)
    assert.equal("structure", by_note["2025 pack count beyond the data"].error)
    assert.is_nil(by_note["block 0x30 in a 2016 frame"].error)
    assert.is_nil(by_note["custom 0x80 declares more than is left"].error)
  end)

  it("flag times that are none and keep their bytes", function()
    local json = cjson.decode("{" .. by_note["month 13, hour 25"].members .. "}")
    assert.is_nil(json.time)
    assert.equal(12, #json.time_raw)
    assert.same({ "time_invalid" }, json.flaws)
  end)

  it("say that blocks follow a signature, and that a count is out of range", function()
    local json = cjson.decode("{" .. by_note["blocks after the signature"].members .. "}")
    assert.truthy(json.flaws[1]:find "behind it")
    assert.equal("00", json.custom[1].data_hex)
    json = cjson.decode("{" .. by_note["cell count 201 (> 200)"].members .. "}")
    assert.equal(201, #json.storage_voltages.items[1].cell_voltages_v)
  end)

  it("stay ciphertext without a key", function()
    for note, cipher in pairs {
      ["encryption 0x05 (SM4) in a 2016 frame"] = "SM4", ["encryption 0x00 undefined"] = 0,
      ["encryption 0x04 (SM2) in a 2025 frame"] = "SM2",
    } do
      local message = by_note[note]
      assert.equal("encrypted", message.error, note)
      assert.equal(cipher, message.data.encryption)
      assert.equal(message.frame:sub(49, -3), message.data.unit_hex)
    end
  end)

  it("of parameters end at an id without a length", function()
    local message = by_note["parameter answer with unknown id 0x55"]
    assert.equal("structure", message.error)
    assert.equal(1000, message.data.parameters.storage_period_ms)
    assert.equal("550102", message.data.rest_hex)
    assert.equal("structure", by_note["parameter 0x05 without 0x04"].error)
  end)

  it("refuse VINs that may not be names", function()
    assert.truthy(by_note["VIN padded with NULs"].refused)
    assert.truthy(by_note["VIN with non-ASCII bytes"].refused)
    for _, bad in ipairs { "LTEST/00000009016", "LTEST+00000009016", "LTEST#00000009016" } do
      local hex = vectors.login("##", bad)
      assert.truthy(vectors.decode({ hex })[1][1].message.refused, bad)
    end
  end)
end)
