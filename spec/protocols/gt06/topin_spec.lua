-- SPDX-License-Identifier: Apache-2.0
-- The sister protocol without serials and checksums, on a listener of its own.
local cjson = require "cjson"
local offline = require "support.offline"

local PATH = "protocols/gt06 gt06-topin"
local LOGIN = "78780a010865012345678901010d0a"
local GPS = "78781210" .. "1a06010c0200" .. "9c" .. "0359c4c0" .. "0d085ff4" .. "28" .. "1478"
  .. "0d0a"

local function run(...)
  local commands = { "open {}", "connect 192.0.2.1:5000" }
  for _, hex in ipairs { ... } do commands[#commands + 1] = "feed 1 " .. hex end
  local blocks = offline.run(PATH, commands)
  return table.move(blocks, 3, #blocks, 1, {})
end

local function first(events, kind)
  return offline.of(events, kind)[1]
end

describe("gt06-topin", function()
  it("logs in, answers with the time of a position and publishes it", function()
    local blocks = run(LOGIN, GPS)
    assert.equal("787801010d0a", first(blocks[1], "send").hex)
    assert.equal("gt06/865012345678901/login", first(blocks[1], "publish").topic)
    assert.equal("787800101a06010c02000d0a", first(blocks[2], "send").hex)
    local data = cjson.decode(first(blocks[2], "publish").payload)
    assert.near(31.2304, data.latitude, 1e-6)
    assert.near(121.4737, data.longitude, 1e-6)
    assert.equal("2026-06-01T12:02:00Z", data.time)
    assert.equal(9, data.satellites)
    assert.is_true(data.gps_fixed)
  end)

  it("is not misled by stop bytes inside a position, at any cut", function()
    local odd = GPS:gsub("0d085ff4", "0d0a5ff4")
    local both = LOGIN .. odd .. GPS
    for cut = 2, #both - 2, 2 do
      local blocks = run(both:sub(1, cut), both:sub(cut + 1))
      local n = #offline.of(blocks[1], "publish") + #offline.of(blocks[2], "publish")
      assert.equal(3, n, "cut after " .. cut / 2)
    end
  end)

  it("reads access points and cells", function()
    local wifi = "78780269" .. "260601120200" .. "02aabbccddee5c" .. "02112233445546"
      .. "02" .. "01cc00" .. "287d1f713e" .. "287e1e7222" .. "0d0a"
    local blocks = run(LOGIN, wifi)
    local data = cjson.decode(first(blocks[2], "publish").payload)
    assert.same({ mac = "02:aa:bb:cc:dd:ee", rssi = 0x5c }, data.wifi[1])
    assert.same({ lac = 0x287e, cell_id = 0x1e72, rssi = 0x22 }, data.cells[2])
    assert.equal("2026-06-01T12:02:00Z", data.time)
    assert.equal("787800692606011202000d0a", first(blocks[2], "send").hex)
  end)

  it("tells the time and takes heartbeats", function()
    local blocks = run(LOGIN, "787801300d0a", "787801080d0a")
    assert.equal("7878073007ea01020304050d0a", first(blocks[2], "send").hex)
    assert.equal("gt06/865012345678901/heartbeat", first(blocks[3], "publish").topic)
  end)

  it("publishes nothing before a login and outlives garbage", function()
    local blocks = run(GPS, "00ff78", LOGIN, GPS)
    assert.is_nil(first(blocks[1], "publish"))
    assert.is_not_nil(first(blocks[4], "publish"))
  end)
end)
