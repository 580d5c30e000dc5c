-- SPDX-License-Identifier: Apache-2.0
-- Commands down and what becomes of them, and the messages of EMQX's gateway.
local cjson = require "cjson"
local offline = require "support.offline"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local frame, login = vectors.frame, vectors.login
local VIN = "LTEST000000009016"
local NOW = string.char(26, 1, 2, 11, 4, 5)


local function run(lines, config, start)
  local all = { "open " .. (config and cjson.encode(config) or "{}"), "connect 192.0.2.1:5000",
    "feed 1 " .. login(start or "##", VIN) }
  for _, line in ipairs(lines) do
    all[#all + 1] = line:find "^%x+$" and "feed 1 " .. line or line
  end
  local blocks = offline.run(vectors.path, all)
  return table.move(blocks, 4, #blocks, 1, {})
end

local function down(json, qos)
  return ("deliver %s gbt32960/%s/down %d %s"):format(VIN, VIN, qos or 1,
    type(json) == "string" and json or cjson.encode(json))
end

local function command(name, args, correlation)
  return down { command = name, args = args, correlation_id = correlation }
end

local function sent(events)
  local out = {}
  for i, e in ipairs(offline.of(events, "send")) do out[i] = e.hex end
  return out
end

local function fates(blocks)
  local out = {}
  for _, events in ipairs(blocks) do
    for _, e in ipairs(offline.of(events, "publish")) do
      if e.topic:find "/command$" then
        local data = cjson.decode(e.payload)
        out[#out + 1] = data.state
      end
    end
  end
  return out
end

local function fate(events, n)
  local found = {}
  for _, e in ipairs(offline.of(events, "publish")) do
    if e.topic:find "/command$" then found[#found + 1] = cjson.decode(e.payload) end
  end
  return found[n or #found]
end

describe("gbt32960 commands", function()
  it("ask for parameters; the answer comes with their fate", function()
    local answer = NOW .. "\2\1" .. string.pack(">I2", 1000) .. "\9\30"
    local blocks = run {
      command("query", { ids = { "storage_period_ms", "0x09" } }, "c-1"),
      frame("##", 0x80, 1, VIN, answer),
    }
    assert.same({ frame("##", 0x80, 0xFE, VIN, NOW .. "\2\1\9") }, sent(blocks[1]))
    assert.same({ "sent", "acked" }, fates(blocks))
    local told = fate(blocks[2])
    assert.equal("c-1", told.correlation_id)
    assert.same({ storage_period_ms = 1000, heartbeat_period_s = 30 }, told.parameters)
    assert.same({}, sent(blocks[2]))
  end)

  it("take an answer that says it is a command", function()
    local blocks = run { command("query", { ids = { 9 } }),
      frame("##", 0x80, 0xFE, VIN, NOW .. "\1\9\30") }
    assert.same({ "sent", "acked" }, fates(blocks))
    assert.same({}, sent(blocks[2]))
  end)

  it("set parameters in the edition of the login", function()
    local values = { parameters = { report_period_s = 20, host = "tsp.example.org", port = 9443 } }
    local blocks = run { command("set", values), frame("##", 0x81, 1, VIN, NOW) }
    local unit = NOW .. "\4\2" .. string.pack(">I2", 20) .. "\4\15\5tsp.example.org\6"
      .. string.pack(">I2", 9443)
    assert.same({ frame("##", 0x81, 0xFE, VIN, unit) }, sent(blocks[1]))
    assert.same({ "sent", "acked" }, fates(blocks))
    blocks = run({ command("set", { parameters = { report_period_s = 20 } }) }, nil, "$$")
    assert.same({ frame("$$", 0x81, 0xFE, VIN, NOW .. "\1\2\20") }, sent(blocks[1]))
  end)

  it("are refused by the vehicle, or never answered, and that is told", function()
    local set = command("set", { parameters = { port = 1 } })
    local blocks = run { set, frame("##", 0x81, 2, VIN, NOW) }
    assert.same({ "sent", "refused" }, fates(blocks))
    assert.equal("error", fate(blocks[2]).answer)
    blocks = run { set, "advance 60001", "advance 60001", "advance 60001" }
    assert.same({ "sent", "sent", "sent", "expired" }, fates(blocks))
    assert.same(sent(blocks[1]), sent(blocks[2]))
  end)

  it("go one by one, for they have no serial", function()
    local answer = frame("##", 0x82, 1, VIN, NOW)
    local blocks = run { command("reset", {}), command("power_off", {}),
      command("query", { ids = { 1 } }), answer, "advance 1", answer }
    assert.same({ frame("##", 0x82, 0xFE, VIN, NOW .. "\3") }, sent(blocks[1]))
    assert.same({}, sent(blocks[2]))
    assert.equal("queued", fate(blocks[2]).state)
    assert.equal(1, #sent(blocks[3]))
    assert.same({ "sent", "queued", "sent", "acked", "sent", "acked" }, fates(blocks))
  end)

  it("of a vehicle that leaves have failed, those that waited in line, too", function()
    local blocks = run { command("reset", {}), command("power_off", {}), "hangup 1", "advance 1" }
    assert.same({ "sent", "queued", "failed", "failed" }, fates(blocks))
  end)

  it("control the terminal, with both orders of the upgrade", function()
    local args = { url = "ftp://x/f", apn = "apn1", address = "10.59.2.7", port = 15163,
      manufacturer = "TST1", hardware_version = "1.2.3", firmware_version = "4.5.6",
      time_limit_min = 90 }
    local function unit_of(config, more)
      local a = cjson.decode(cjson.encode(args))
      for k, v in pairs(more or {}) do a[k] = v end
      local hex = sent(run({ command("upgrade", a) }, config)[1])[1]
      return vectors.unhex(hex):sub(25, -2)
    end
    assert.equal(NOW .. "\1apn1;;;\0\0\10\59\2\7;\59\59;TST1;1.2.3;4.5.6;ftp://x/f;\0\90",
      unit_of())
    assert.equal(NOW .. "\1ftp://x/f;apn1;;;10.59.2.7;15163;TST1;1.2.3;4.5.6;90",
      unit_of { upgrade_order = "url_first", upgrade_numbers = "text" })
    assert.equal(unit_of { upgrade_order = "url_first" }, unit_of(nil, { order = "url_first" }))
    local blocks = run { command("alarm", { level = 2, message = "stop now" }) }
    assert.same({ frame("##", 0x82, 0xFE, VIN, NOW .. "\6\2stop now") }, sent(blocks[1]))
  end)

  it("give the result of an activation and hand out keys", function()
    local blocks = run({ command("activation_result", { status = "ok", info = "ok" }),
      command("key_exchange", { key_type = "SM4", key = "00112233445566778899aabbccddeeff",
        enable_time = "2026-01-02T00:00:00+08:00", expiry_time = "2027-01-02T00:00:00+08:00" }) },
      nil, "$$")
    assert.same({ frame("$$", 0x0A, 0xFE, VIN, "\1\0") }, sent(blocks[1]))
    assert.equal("sent", fate(blocks[1]).state)
    assert.equal(0x0B, vectors.unhex(sent(blocks[2])[1]):byte(3))
  end)

  it("tell the quality of a vehicle's data", function()
    local unit = vectors.TIME .. "\1\1\3\1\xFF\xFE\0\2\xDB\x63\x0D\xE9\x2A\x79\x47\1\x2E\x10"
      .. "\x18\x12\0"
    local report = frame("##", 2, 0xFE, VIN, unit)
    local blocks = run { report, "advance 10000", report, command("quality", {}) }
    local e = offline.of(blocks[4], "publish")[1]
    assert.equal("gbt32960/" .. VIN .. "/quality", e.topic)
    local data = cjson.decode(e.payload)
    assert.equal(2, data.reports)
    assert.equal(2, data.abnormal)
    assert.equal(0, data.invalid)
    assert.equal(10000, data.gap_ms)
    assert.is_true(data.clock_offset_ms < -1e9)
  end)

  it("that are malformed are refused with the reason, and the vehicle stays", function()
    for json, why in pairs {
      ["{"] = "", ["[]"] = "command: expected", ["{}"] = "command: expected",
      ['{"command":"explode"}'] = "no such command",
      ['{"command":"query","args":{"ids":"1"}}'] = "ids: expected a list",
      ['{"command":"query","args":{"ids":[{}]}}'] = "ids: expected names or numbers",
      ['{"command":"query","args":{"ids":["nonsense"]}}'] = "no such parameter: nonsense",
      ['{"command":"set","args":{"parameters":{"host_length":3}}}'] = "no parameters",
      ['{"command":"set","args":{"parameters":{"port":70000}}}'] = "port: expected a number",
      ['{"command":"set","args":{"parameters":{"host":["x"]}}}'] = "host: expected a text",
      ['{"command":"set","args":{"parameters":{"hardware_version":"1.2.3"}}}'] = "cannot be set",
      ['{"command":"upgrade","args":{"hardware_version":"1.2.34"}}'] = "expected 5 bytes",
      ['{"command":"upgrade","args":{"address":"1.2.3.999"}}'] = "IPv4",
      ['{"command":"upgrade","args":{"url":"a;b"}}'] = "cannot have",
      ['{"command":"alarm","args":{"level":9}}'] = "level: expected",
      ['{"command":"control","args":{"control":"dance"}}'] = "no such control",
      ['{"command":"query","args":7}'] = "args: expected an object",
    } do
      local blocks = run { down(json), frame("##", 7, 0xFE, VIN, "") }
      assert.same({}, sent(blocks[1]), json)
      assert.equal("refused", fate(blocks[1]).state, json)
      assert.truthy(fate(blocks[1]).error:find(why, 1, true), json)
      assert.equal(1, #sent(blocks[2]), json)
    end
  end)
end)

describe("gbt32960 as EMQX has it", function()
  local EMQX = { payload = "emqx", down = "gbt32960/${device}/dnstream" }

  local function upstream(events)
    local e = offline.of(events, "publish")[1]
    return e and e.topic, e and cjson.decode(e.payload)
  end

  it("publishes reports with numbers of the wire", function()
    local blocks = run({ frame("##", 2, 0xFE, VIN, vectors.TIME
      .. "\1\1\3\1\2\x7A\0\2\xDB\x63\x0D\xE9\x2A\x79\x47\1\x2E\x10\x18\x12\0"
      .. "\7\1\0\0\0\1\1\x12\x34\x56\x78\0\0\0" .. "\x80\0\2\1\2") }, EMQX)
    local topic, json = upstream(blocks[1])
    assert.equal("gbt32960/" .. VIN .. "/upstream/info", topic)
    assert.equal(2, json.Cmd)
    assert.equal(1, json.Encrypt)
    assert.same({ Year = 24, Month = 3, Day = 15, Hour = 8, Minute = 19, Second = 59 },
      json.Data.Time)
    local vehicle, alarm, custom = table.unpack(json.Data.Infos)
    assert.same({ Type = "Vehicle", Status = 1, Charging = 3, Mode = 1, Speed = 634,
      Mileage = 187235, Voltage = 3561, Current = 10873, SOC = 71, DC = 1, Gear = 46,
      Resistance = 4120, AcceleratorPedal = 18, BrakePedal = 0 }, vehicle)
    assert.same({ "12345678" }, alarm.FaultChargeableDeviceList)
    assert.same({}, alarm.FaultEngineList)
    assert.same({ Type = "CustomData", Data = "gAACAQI=" }, custom)
  end)

  it("publishes logins and answers, and takes commands in its form", function()
    local blocks = run({ login("##", VIN, 2),
      down { Action = "Query", Total = 1, Ids = { "0x01" } },
      frame("##", 0x80, 1, VIN, NOW .. "\1\1\3\xE8"),
      down { Action = "Control", Command = "0x06", Param = { Level = 1, Message = "hi" } },
      down { Action = "Setting", Total = 1, Params = { { ["0x01"] = 5000 } } } }, EMQX)
    local topic, json = upstream(blocks[1])
    assert.equal("gbt32960/" .. VIN .. "/upstream/vlogin", topic)
    assert.equal("89860000000000009016", json.Data.ICCID)
    assert.same({ frame("##", 0x80, 0xFE, VIN, NOW .. "\1\1") }, sent(blocks[2]))
    for _, e in ipairs(offline.of(blocks[3], "publish")) do
      if e.topic:find "response$" then topic, json = e.topic, cjson.decode(e.payload) end
    end
    assert.equal("gbt32960/" .. VIN .. "/upstream/response", topic)
    assert.same({ { ["0x01"] = 1000 } }, json.Data.Params)
    assert.same({ frame("##", 0x82, 0xFE, VIN, NOW .. "\6\1hi") }, sent(blocks[4]))
    assert.same({ frame("##", 0x81, 0xFE, VIN, NOW .. "\1\1\x13\x88") }, sent(blocks[5]))
  end)

  it("holds for all vectors: nothing raises", function()
    local commands = { "open " .. cjson.encode(EMQX) }
    local n = 0
    for _, v in ipairs(vectors.load()) do
      local vin = vectors.unhex(v.hex):sub(5, 21)
      if v.kind == "valid" and vin:find "^%w+$" then
        n = n + 1
        if n % 50 == 0 then commands[#commands + 1] = "open " .. cjson.encode(EMQX) end
        commands[#commands + 1] = "connect 192.0.2.1:5000"
        commands[#commands + 1] = ("feed %d %s"):format(n % 50 + (n < 50 and 0 or 1), v.hex)
      end
    end
    for _, events in ipairs(offline.run(vectors.path, commands)) do
      for _, e in ipairs(events) do assert.is_not.equal("error", e.level) end
    end
    assert.is_true(n > 90)
  end)
end)
