-- SPDX-License-Identifier: Apache-2.0
-- What stands inside of messages that other gateways hand on as bytes: areas that a terminal
-- has stored, a recorder's data, compressed and encrypted bodies.
local cjson = require "cjson"
local offline = require "support.offline"
local terminal = dofile "spec/protocols/jt808/terminal.lua"
local vectors = dofile "spec/protocols/jt808/vectors.lua"

local PATH = "protocols/jt808"
local DEVICE = "013800138000"

local function feed(id, body, o)
  return "feed 1 " .. terminal.hex(terminal.frame(id, body, o))
end

--- The events of `commands` on a connection that is logged in.
local function run(commands, config)
  local all = { "open " .. (config and cjson.encode(config) or "{}"), "connect 192.0.2.1:5000",
    feed(0x0102, "code", { serial = 900 }) }
  for _, c in ipairs(commands) do all[#all + 1] = c end
  local blocks = offline.run(PATH, all)
  return table.move(blocks, 4, #blocks, 1, {})
end

local function down(command, args)
  return ("deliver %s jt808/x/down 1 %s"):format(DEVICE,
    cjson.encode { command = command, args = args })
end

local function body_of(hex)
  local b = terminal.unhex(hex):sub(2, -2)
  b = b:gsub("}([\1\2])", { ["\1"] = "}", ["\2"] = "~" })
  return b:sub(b:byte(3) & 0x40 ~= 0 and 18 or 13, -2)
end

local function vector(id)
  for _, v in ipairs(vectors.load "jt808.jsonl") do
    if v.id == id then return v end
  end
end

local function published(events) return terminal.published(events)[1][2] end

describe("jt808 stored areas", function()
  local function areas(id, config)
    local body = body_of(vector(id).hex)
    return published(run({ feed(0x0608, body, { serial = 1 }) }, config)[1])
  end

  it("are read as ids where the length is that of ids", function()
    assert.same({ 1, 2, 3 }, areas("jt808-0608-e84b3ba8c6").area_ids)
  end)

  it("are read as whole bodies of what sets them, in either edition", function()
    for _, edition in ipairs { "2013", "2019" } do
      local circle = areas("jt808-0608-01248922a4", { edition = edition }).bodies[1]
      assert.equal("append", circle.action)
      assert.equal(1522, circle.areas[1].area_id)
      assert.equal(200, circle.areas[1].radius)
      local route = areas("jt808-0608-777ac2c3f5", { edition = edition }).bodies[1]
      assert.equal(9999, route.route_id)
      assert.equal("2020-01-07T00:00:12+08:00", route.start_time)
    end
  end)

  it("stay bytes where nothing fits exactly", function()
    local got = published(run { feed(0x0608, "\1\0\0\0\1abc", { serial = 1 }) }[1])
    assert.is_nil(got.bodies)
    assert.equal("616263", got.data)
  end)
end)

describe("jt808 driving records", function()
  it("are taken apart by their command", function()
    local seen = {}
    for _, v in ipairs(vectors.load "jt808.jsonl") do
      if v.msg == "0x0700" then
        local record = published(run { feed(0x0700, body_of(v.hex), { serial = 1 }) }[1]).record
        assert.is_true(record.checksum_ok, v.id)
        seen[record.command] = record
      end
    end
    assert.same({ "1234567", "1234567891234567", "200323" },
      { seen[7].values.ccc, seen[7].values.model, seen[7].values.produced })
    assert.same({ 100, 5000 }, { seen[3].values.first_km, seen[3].values.total_km * 10 })
    local overtime = seen[0x11].values.blocks[1]
    assert.equal("999999199001013581", overtime.licence)
    assert.equal(121468070, overtime.start.longitude_raw) -- no such place in its unit
    assert.equal("driver_log", seen[0x12].name)
    assert.equal("in", seen[0x12].values.blocks[1].event)
    assert.equal(60, #seen[0x15].values.blocks[1].samples)
    assert.equal("collect_failed", seen[0xFA].name)
    assert.equal("19", seen[0].values.year)
  end)

  it("are asked for, and set, by values", function()
    local blocks = run { down("collect_record", { command = 8, max_blocks = 2,
      start_time = "2026-01-02T03:04:05+08:00", end_time = "2026-01-02T04:04:05+08:00" }),
      down("collect_record", { command = 2 }),
      down("set_record", { command = 0xC3, values = { time = "2026-01-02T03:04:05+08:00",
        pulses_per_km = 50 } }), down("set_record", { command = 0xC3, values = { time = 1 } }) }
    local function sent(i) return terminal.hex(terminal.sent(blocks[i])[1].body) end
    assert.equal("08aa7508000e002601020304052601020404050002", sent(1):sub(1, -3))
    assert.equal("02aa750200000", sent(2):sub(1, 13))
    assert.equal("c3aa75c300080026010203040500327e", sent(3):sub(1, -3) .. "7e")
    assert.equal("refused", published(blocks[4]).state)
  end)
end)

describe("jt808 compressed uploads", function()
  local function gzip(text)
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write(text)
    file:close()
    local pipe = assert(io.popen("gzip -nc " .. name))
    local bytes = pipe:read "a"
    pipe:close()
    os.remove(name)
    return bytes
  end

  local function upload(bytes, config)
    local all = {}
    for n = 1, (#bytes + 899) // 900 do all[n] = bytes:sub(900 * n - 899, 900 * n) end
    local commands, body = {}, string.pack(">I4", #bytes)
    if #all == 1 then
      commands[1] = feed(0x0901, body .. bytes, { serial = 1 })
    else
      for n, part in ipairs(all) do
        commands[n] = feed(0x0901, (n == 1 and body or "") .. part,
          { serial = n, total = #all, number = n })
      end
    end
    local blocks = run(commands, config)
    return published(blocks[#blocks]), blocks
  end

  it("are inflated, as text where they are one", function()
    assert.equal("line one\nline two", upload(gzip "line one\nline two").content)
    assert.equal("0001ff", upload(gzip "\0\1\xFF").content_hex)
  end)

  it("that are none, or were cut, stay as they came", function()
    for _, bytes in ipairs { "\1\2\3", gzip("text"):sub(1, -3) } do
      local got = upload(bytes)
      assert.truthy(got.not_inflated)
      assert.is_nil(got.content)
      assert.equal(terminal.hex(bytes), got.data)
    end
  end)

  it("that claim too much are not made", function()
    local bomb = gzip(("\0"):rep(4 << 20))
    local got, blocks = upload(bomb)
    assert.matches("more bytes than allowed", got.not_inflated)
    for _, events in ipairs(blocks) do assert.equal(0, #offline.of(events, "log")) end
    assert.is_nil(upload(gzip "abc", { inflate = 0 }).not_inflated)
    assert.is_nil(upload(gzip "abc", { inflate = 0 }).content)
  end)
end)

describe("jt808 encryption", function()
  local keys = {}

  local function openssl(command, input)
    local name, out = os.tmpname(), os.tmpname()
    local file = assert(io.open(name, "wb"))
    file:write(input or "")
    file:close()
    assert(os.execute(("openssl %s < %s > %s 2>/dev/null"):format(command, name, out)))
    local result = assert(io.open(out, "rb"))
    local bytes = result:read "a"
    result:close()
    os.remove(name)
    os.remove(out)
    return bytes
  end

  local function key(who)
    local path = os.tmpname()
    openssl("genrsa -out " .. path .. " 1024")
    local file = assert(io.open(path))
    local pem = file:read "a"
    file:close()
    local n = openssl("rsa -noout -modulus -in " .. path):match "=(%x+)"
    keys[who] = { path = path, pem = pem, n = n:lower() }
  end

  setup(function()
    key "ours"
    key "theirs"
  end)
  teardown(function()
    for _, k in pairs(keys) do os.remove(k.path) end
  end)

  local function encrypted(id, clear, serial)
    local body = openssl("pkeyutl -encrypt -inkey " .. keys.ours.path, clear)
    assert.equal(128, #body)
    local b = string.pack(">I2I2", id, 0x0400 | #body) .. terminal.unhex(DEVICE)
      .. string.pack(">I2", serial) .. body
    local x = 0
    for i = 1, #b do x = x ~ b:byte(i) end
    b = (b .. string.char(x)):gsub("[}~]", { ["}"] = "}\1", ["~"] = "}\2" })
    return "feed 1 " .. terminal.hex("~" .. b .. "~")
  end

  it("keys are exchanged: ours is the answer to theirs", function()
    local theirs = string.pack(">I4", 65537) .. terminal.unhex(keys.theirs.n)
    local blocks = run({ feed(0x0A00, theirs, { serial = 1 }) }, { rsa_key = keys.ours.pem })
    local sent = terminal.sent(blocks[1])[1]
    assert.equal(0x8A00, sent.id)
    assert.equal(65537, (string.unpack(">I4", sent.body)))
    assert.equal(keys.ours.n, terminal.hex(sent.body:sub(5)))
    assert.equal(keys.theirs.n, published(blocks[1]).n)
    blocks = run { feed(0x0A00, theirs, { serial = 1 }) }
    assert.equal(3, terminal.answer(terminal.sent(blocks[1])[1])[3])
  end)

  it("bodies up are read with our key, and only with it", function()
    local frame = encrypted(0x0200, terminal.POSITION, 5)
    local got = published(run({ frame }, { rsa_key = keys.ours.pem })[1])
    assert.near(31.23, got.latitude, 1e-9)
    assert.is_true(got.decrypted)
    assert.equal(256, #published(run({ frame })[1]).encrypted)
    got = published(run({ frame }, { rsa_key = keys.theirs.pem })[1])
    assert.are_not.equal(31.23, got.latitude)
  end)

  it("commands down are for their key where the option says so", function()
    local theirs = string.pack(">I4", 65537) .. terminal.unhex(keys.theirs.n)
    local commands = { feed(0x0A00, theirs, { serial = 1 }), down("text", { text = "hello" }) }
    local function raw(config)
      for _, e in ipairs(run(commands, config)[2]) do
        if e.event == "send" then return terminal.unhex(e.hex) end
      end
    end
    local frame = raw { rsa_key = keys.ours.pem, encrypt_down = true }
    frame = frame:sub(2, -2):gsub("}([\1\2])", { ["\1"] = "}", ["\2"] = "~" })
    assert.equal(0x0400 | 128, (string.unpack(">I2", frame, 3)))
    local clear = openssl("pkeyutl -decrypt -inkey " .. keys.theirs.path, frame:sub(13, -2))
    assert.equal("\12hello", clear)
    assert.equal("\12hello", raw({ rsa_key = keys.ours.pem }):sub(14, -3))
  end)

  it("the platform's key can be sent, and theirs be its answer", function()
    local blocks = run({ down("platform_key"),
      feed(0x0A00, string.pack(">I4", 3) .. ("n"):rep(128), { serial = 1 }) },
      { rsa_key = keys.ours.pem })
    assert.equal(keys.ours.n, terminal.hex(terminal.sent(blocks[1])[1].body:sub(5)))
    local fates = {}
    for _, p in ipairs(terminal.published(blocks[2])) do fates[p[1]] = p[2] end
    assert.equal("acked", fates.command.state)
  end)
end)
