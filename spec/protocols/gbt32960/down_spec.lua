-- SPDX-License-Identifier: Apache-2.0
-- What can be said down: every parameter and every control of the standard's tables, in both
-- editions, and messages that nobody should send.
local cjson = require "cjson"
local offline = require "support.offline"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local frame, login = vectors.frame, vectors.login
local VIN = "LTEST000000009016"
local NOW = string.char(26, 1, 2, 11, 4, 5)
local BEAT = "feed 1 " .. frame("##", 7, 0xFE, VIN, "")

--- Messages down, one after the other, each answered by the vehicle at once so that the next goes.
local function try(edition, messages, config)
  local start = edition == 2016 and "##" or "$$"
  local commands = { "open " .. cjson.encode(config or { takeovers = 1000 }) }
  for i, message in ipairs(messages) do
    local vin = ("LTEST%012d"):format(i)
    commands[#commands + 1] = "connect 192.0.2.1:5000"
    commands[#commands + 1] = ("feed %d %s"):format(i, login(start, vin))
    commands[#commands + 1] = ("deliver %s gbt32960/%s/down 1 %s"):format(vin, vin,
      type(message) == "string" and message or cjson.encode(message))
  end
  local blocks, out = offline.run(vectors.path, commands), {}
  for i = 1, #messages do
    local events = blocks[3 * i + 1]
    local sent, fate = offline.of(events, "send")[1], nil
    for _, e in ipairs(offline.of(events, "publish")) do
      if e.topic:find "/command$" then fate = cjson.decode(e.payload) end
    end
    for _, e in ipairs(offline.of(events, "log")) do
      assert.are_not.equal("error", e.level, commands[3 * i + 1])
    end
    local bytes = sent and vectors.unhex(sent.hex)
    out[i] = { cmd = bytes and bytes:byte(3), unit = bytes and bytes:sub(25, -2), fate = fate }
  end
  return out
end

-- id, name, bytes, least, most; both editions, or one.
local PARAMETERS = {
  { 0x01, "storage_period_ms", 2, 0, 60000 },
  { 0x02, "report_period_s", 2, 1, 600, 2016 }, { 0x02, "report_period_s", 1, 1, 30, 2025 },
  { 0x03, "alarm_report_period_ms", 2, 0, 60000, 2016 },
  { 0x03, "alarm_report_period_s", 1, 0, 1, 2025 },
  { 0x06, "port", 2, 0, 65531 },
  { 0x09, "heartbeat_period_s", 1, 1, 240 },
  { 0x0A, "terminal_timeout_s", 2, 1, 600 }, { 0x0B, "platform_timeout_s", 2, 1, 600 },
  { 0x0C, "login_wait_min", 1, 1, 240 },
  { 0x0F, "public_port", 2, 0, 65531 },
}

describe("gbt32960 parameters", function()
  for _, edition in ipairs { 2016, 2025 } do
    it(("of %d have their id, size and range, and a wrong one is refused"):format(edition),
      function()
        local messages, units = {}, {}
        local function add(name, value, unit)
          messages[#messages + 1] = { command = "set", args = { parameters = { [name] = value } } }
          units[#messages] = unit or false
        end
        for _, p in ipairs(PARAMETERS) do
          local id, name, size, least, most, only = table.unpack(p)
          if not only or only == edition then
            for _, value in ipairs { least, most } do
              add(name, value, NOW .. "\1" .. string.char(id) .. string.pack(">I" .. size, value))
              add(("0x%02x"):format(id), value, units[#messages])
            end
            add(name, most + 1)
            add(name, least - 1)
            add(name, "a text")
          end
        end
        add("host", "a.example", NOW .. "\2\4\9\5a.example")
        add("public_host", "b.example", NOW .. "\2\x0D\9\x0Eb.example")
        add("sampling", "yes", NOW .. "\1\x10\1")
        add("sampling", "no", NOW .. "\1\x10\2")
        for _, name in ipairs { "hardware_version", "firmware_version", "0x11", "nothing" } do
          add(name, "1.2.3")
        end
        for i, got in ipairs(try(edition, messages)) do
          local text = cjson.encode(messages[i])
          assert.equal(units[i] or nil, got.unit, text)
          assert.equal(units[i] and "sent" or "refused", got.fate.state, text)
          assert.equal(units[i] and 0x81 or nil, got.cmd)
        end
        local one = try(edition, { { command = "set", args = { parameters = { port = 1,
          heartbeat_period_s = 0 } } } })[1]
        assert.is_nil(one.unit) -- one wrong item refuses them all
      end)
  end

  it("are asked for by name or number, 252 at most", function()
    local many = {}
    for i = 1, 253 do many[i] = 1 end
    local got = try(2016, {
      { command = "query", args = { ids = { "host_length", "host", 16, "0x80", "7" } } },
      { command = "query", args = { ids = many } }, { command = "query", args = { ids = {} } },
      { command = "query", args = { ids = { 256 } } },
    })
    assert.equal(NOW .. "\5\4\5\x10\x80\7", got[1].unit)
    for i = 2, 4 do assert.equal("refused", got[i].fate.state) end
  end)
end)

describe("gbt32960 controls", function()
  it("have their codes, with what goes with them", function()
    for _, edition in ipairs { 2016, 2025 } do
      local most = edition == 2016 and 3 or 4
      local got = try(edition, {
        { command = "power_off" }, { command = "reset" }, { command = "factory_reset" },
        { command = "disconnect" }, { command = "sampling" },
        { command = "alarm", args = { level = 0 } },
        { command = "alarm", args = { level = most, message = "火" } },
        { command = "alarm", args = { level = "invalid" } },
        { command = "alarm", args = { level = most + 1 } },
        { command = "control", args = { control = 0x80, parameter_hex = "0102" } },
        { command = "control", args = { control = "0xFE" } },
        { command = "control", args = { control = "reset" } },
        { command = "control", args = { control = 0 } },
        { command = "control", args = { control = 255 } },
      })
      local want = { "\2", "\3", "\4", "\5", "\7", "\6\0", "\6" .. string.char(most) .. "\xBB\xF0",
        "\6\xFF", false, "\x80\1\2", "\xFE", "\3", false, false }
      for i, unit in ipairs(want) do
        assert.equal(unit and NOW .. unit or nil, got[i].unit, i)
        assert.equal(unit and "sent" or "refused", got[i].fate.state)
        if unit then assert.equal(0x82, got[i].cmd) end
      end
    end
  end)
end)

describe("gbt32960 hostile messages down", function()
  it("are refused, in our form and in EMQX's, and no script fails", function()
    local messages = {}
    local odd = { "null", "true", "7", "-1", "1e999", '""', '"x"', "[]", "{}", "[[]]", "[{}]",
      '{"a":1}', '[null]', '{"0x01":{}}', '[{"0x01":{}}]', '["0x01"]', '[{"Level":[]}]' }
    for _, text in ipairs {
      '{"command":%s}', '{"command":"query","args":%s}', '{"command":"query","args":{"ids":%s}}',
      '{"command":"set","args":{"parameters":%s}}',
      '{"command":"set","args":{"parameters":{"port":%s}}}',
      '{"command":"set","args":{"parameters":{"host":%s}}}',
      '{"command":"control","args":{"control":%s}}',
      '{"command":"control","args":{"control":128,"parameter_hex":%s}}',
      '{"command":"alarm","args":{"level":%s}}',
      '{"command":"upgrade","args":{"port":%s}}', '{"command":"upgrade","args":{"order":%s}}',
      '{"command":"activation_result","args":{"status":%s,"info":"ok"}}',
      '{"command":"key_exchange","args":{"key_type":"SM4","key":%s}}',
      '{"Action":%s}', '{"Action":"Query","Total":1,"Ids":%s}',
      '{"Action":"Setting","Total":1,"Params":%s}', '{"Action":"Setting","Total":%s,"Params":[]}',
      '{"Action":"Control","Command":%s}',
      '{"Action":"Control","Command":"0x06","Param":%s}',
    } do
      for _, value in ipairs(odd) do messages[#messages + 1] = text:format(value) end
    end
    local refused = 0
    for _, part in ipairs { 1, 2, 3, 4, 5, 6 } do
      local some = table.move(messages, (part - 1) * 60 + 1, part * 60, 1, {})
      for i, got in ipairs(#some > 0 and try(2025, some) or {}) do
        assert.truthy(got.fate, some[i])
        if got.fate.state == "refused" then
          assert.truthy(#got.fate.error > 0)
          assert.is_nil(got.unit, some[i])
          refused = refused + 1
        end
      end
    end
    assert.is_true(refused > 250, refused)
  end)

  it("cannot make another frame of a control", function()
    local got = try(2025, { { command = "reset", args = { cmd = 1, flag = 1, encryption = 5,
      edition = 2016, id = "LTEST000000009999", unit = "x", blocks = {}, data = {}, ids = {} } } })
    assert.equal(0x82, got[1].cmd)
    assert.equal(NOW .. "\3", got[1].unit)
  end)

  it("of EMQX whose total is another than the list's are refused", function()
    local got = try(2016, {
      { Action = "Query", Total = 2, Ids = { "0x01" } },
      { Action = "Setting", Total = 2, Params = { { ["0x01"] = 1 } } },
      { Action = "Setting", Total = 2, Params = { { ["0x04"] = 3 }, { ["0x05"] = "abcd" } } },
      { Action = "Setting", Total = 1, Params = { { ["0x05"] = "abcd" } } },
      { Action = "Setting", Total = 2, Params = { { ["0x05"] = "abcd" }, { ["0x04"] = 4 } } },
      { Action = "Setting", Total = 2, Params = { { ["0x0E"] = "ab" }, { ["0x0D"] = 2 } } },
      { Action = "Query", Ids = { "0x01" } },
    })
    for i = 1, 4 do assert.equal("refused", got[i].fate.state, i) end
    assert.truthy(got[1].fate.error:find "Total")
    assert.equal(NOW .. "\2\4\4\5abcd", got[5].unit)
    assert.equal(NOW .. "\2\x0D\2\x0Eab", got[6].unit)
    assert.equal(NOW .. "\1\1", got[7].unit)
  end)

  it("past 32 that wait are refused, and those in front go on", function()
    local lines = { "open {}", "connect 192.0.2.1:5000", "feed 1 " .. login("##", VIN) }
    for i = 1, 34 do
      lines[#lines + 1] = ("deliver %s gbt32960/%s/down 1 %s"):format(VIN, VIN,
        cjson.encode { command = "reset", id = "c" .. i })
    end
    lines[#lines + 1] = BEAT
    local blocks = offline.run(vectors.path, lines)
    local function fate(i) return cjson.decode(offline.of(blocks[i], "publish")[1].payload) end
    assert.equal("sent", fate(4).state)
    assert.equal("queued", fate(36).state)
    assert.equal("refused", fate(37).state)
    assert.equal("c34", fate(37).correlation_id)
    assert.truthy(fate(37).error:find "wait")
    assert.equal(1, #offline.of(blocks[38], "send"))
  end)
end)
