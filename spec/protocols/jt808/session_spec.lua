-- SPDX-License-Identifier: Apache-2.0
-- Who may speak, what is answered, what is published, how long messages become whole.
local offline = require "support.offline"
local terminal = dofile "spec/protocols/jt808/terminal.lua"

local PATH = "protocols/jt808"
local DEVICE = "013800138000"
local POSITION = terminal.POSITION

local function feed(id, body, o, conn)
  return ("feed %d %s"):format(conn or 1, terminal.hex(terminal.frame(id, body, o)))
end

local LOGIN = feed(0x0102, "code", { serial = 900 })

--- Runs commands on a connection that is logged in unless told otherwise.
local function run(commands, o)
  o = o or {}
  local all = { "open " .. (o.config or "{}"), "connect 192.0.2.1:5000" }
  if o.login ~= false then all[3] = LOGIN end
  local skip = #all
  for _, c in ipairs(commands) do all[#all + 1] = c end
  local blocks = offline.run(o.path or PATH, all)
  return table.move(blocks, skip + 1, #blocks, 1, {})
end

local function first(events, kind) return offline.of(events, kind)[1] end

--- reply serial, id and result of the first answer in a block
local function answer_of(events)
  return { table.unpack(terminal.answer(terminal.sent(events)[1]), 1, 3) }
end

local function register(o)
  local body = string.pack(">I2I2", 31, 115) .. "abcde" .. "MODEL" .. ("\0"):rep(15) .. "1234567"
    .. "\1\xB2\xE2A1234"
  return feed(0x0100, body, o)
end

describe("jt808 registration", function()
  it("asks auth, gives a code, and that code opens the door where the mode is strict", function()
    local blocks = run({ register { serial = 1 } },
      { login = false, config = '{"auth":"strict"}' })
    local answer = terminal.sent(blocks[1])[1]
    assert.equal(0x8100, answer.id)
    local serial, result = string.unpack(">I2B", answer.body)
    assert.same({ 1, 0 }, { serial, result })
    assert.equal(16, #answer.body - 3)
    local data = terminal.published(blocks[1])[1][2]
    assert.equal("测A1234", data.plate)
    assert.equal("MODEL", data.model)
  end)

  it("issues codes that cannot be guessed from others", function()
    local commands, seen, digits = {}, {}, {}
    for n = 1, 40 do
      commands[2 * n - 1] = "connect 192.0.2.1:" .. n
      commands[2 * n] = register { phone = ("0138%08d"):format(n) }:gsub("^feed 1",
        "feed " .. n + 1)
    end
    local blocks = run(commands, { login = false })
    for n = 1, 40 do
      local code = terminal.sent(blocks[2 * n])[1].body:sub(4)
      assert.matches("^[0-9A-HJKMNP-TV-Z]+$", code)
      assert.equal(16, #code)
      assert.is_nil(seen[code])
      seen[code] = true
      for c in code:gmatch "." do digits[c] = (digits[c] or 0) + 1 end
    end
    for c, times in pairs(digits) do -- 640 digits of 32
      assert.is_true(times < 60, c)
    end
  end)

  it("uses configured codes, and refuses another one", function()
    local config = ('{"auth":"strict","codes":{"%s":"secret"}}'):format(DEVICE)
    local blocks = run({ register {}, feed(0x0102, "wrong", { serial = 2 }) },
      { login = false, config = config })
    assert.equal("secret", terminal.sent(blocks[1])[1].body:sub(4))
    assert.same({ 2, 0x0102, 1 }, answer_of(blocks[2]))
    assert.equal(1, #offline.of(blocks[2], "close"))
    blocks = run({ feed(0x0102, "secret", { serial = 2 }) }, { login = false, config = config })
    assert.equal(0, terminal.answer(terminal.sent(blocks[1])[1])[3])
    assert.equal(DEVICE, first(blocks[1], "bind").device)
  end)

  it("never publishes the code", function()
    local blocks = run({ LOGIN }, { login = false })
    assert.is_nil(first(blocks[1], "publish").payload:find "code\":")
  end)

  it("is limited per device and minute", function()
    local again = LOGIN:gsub("^feed 1", "feed 2")
    local blocks = run({ LOGIN, "hangup 1", "connect 192.0.2.1:1", again },
      { login = false, config = '{"logins_per_minute":1}' })
    assert.equal(1, terminal.answer(terminal.sent(blocks[4])[1])[3])
  end)
end)

describe("jt808 codes", function()
  local CONFIG = '{"auth":"%s","code_lifetime":"1h"}'

  --- Registers, then does each step on a connection of its own: minutes to wait before it, what
  --- it is, and the code of a login that is not the first one issued. Results are those of
  --- 0x0102, or "new" and "same" for codes.
  local function live(mode, steps)
    local conn, out = 0, {}
    local door, stop = offline.start(PATH)
    local function say(line)
      conn = conn + 1
      door("connect 192.0.2.1:" .. 5000 + conn)
      return terminal.sent(door((line:gsub("^feed 1", "feed " .. conn))))[1]
    end
    door("open " .. CONFIG:format(mode))
    local issued = say(register { serial = 1 }).body:sub(4)
    for i, step in ipairs(steps) do
      door("advance " .. step[1] * 60000)
      if step[2] == "register" then
        out[i] = say(register { serial = 1 }).body:sub(4) == issued and "same" or "new"
      else
        out[i] = terminal.answer(say(feed(0x0102, step[3] or issued, { serial = 2 })))[3]
      end
    end
    stop()
    return out
  end

  it("end with their lifetime where the mode is strict, and live on with each login", function()
    assert.same({ 0, 0, 0, 1 }, live("strict",
      { { 59, "login" }, { 59, "login" }, { 59, "login" }, { 61, "login" } }))
    assert.same({ 1, "new", 1 }, live("strict",
      { { 61, "login" }, { 0, "register" }, { 0, "login" } })) -- the old code has not come back
  end)

  it("are the same for who registers again before their end, and new behind it", function()
    for _, mode in ipairs { "issue", "strict" } do
      assert.same({ "same", "new" }, live(mode, { { 30, "register" }, { 31, "register" } }))
    end
  end)

  it("are not asked for otherwise: one that has ended is as good as any", function()
    assert.same({ 0, 0 }, live("issue", { { 61, "login" }, { 0, "login", "any" } }))
  end)
end)

describe("jt808 before authentication", function()
  it("nothing is published, and all is refused", function()
    local blocks = run({ feed(0x0200, POSITION, { serial = 5 }), feed(0x0002, "", {}) },
      { login = false })
    for i = 1, 2 do
      assert.equal(0, #offline.of(blocks[i], "publish"))
      assert.equal(1, terminal.answer(terminal.sent(blocks[i])[1])[3])
    end
  end)

  it("a logout is answered and told to nobody", function()
    local blocks = run({ feed(0x0003, "", { serial = 4 }) }, { login = false })
    assert.equal(0, #offline.of(blocks[1], "publish"))
    assert.equal(0, terminal.answer(terminal.sent(blocks[1])[1])[3])
  end)

  it("a registration or a login in packets is refused, too", function()
    local blocks = run({ feed(0x0100, "abc", { total = 2, number = 1 }),
      feed(0x0102, "abc", { total = 2, number = 1, serial = 1 }) }, { login = false })
    for i = 1, 2 do
      assert.equal(0, #offline.of(blocks[i], "log"))
      assert.equal(1, terminal.answer(terminal.sent(blocks[i])[1])[3])
    end
  end)

  it("a position is a login where the option says so", function()
    local blocks = run({ feed(0x0200, POSITION, { serial = 5 }) },
      { login = false, config = '{"before_auth":"accept"}' })
    assert.equal("location", terminal.published(blocks[1])[1][1])
    assert.equal(0, terminal.answer(terminal.sent(blocks[1])[1])[3])
  end)
end)

describe("jt808 identity", function()
  it("is the same under both headers", function()
    local body = "\4code" .. ("i"):rep(15) .. ("v"):rep(20)
    local blocks = run({ feed(0x0102, body, { v2019 = true }) }, { login = false })
    assert.equal(DEVICE, first(blocks[1], "bind").device)
    local sent = terminal.sent(blocks[1])[1]
    assert.is_true(sent.v2019)
    assert.equal(("0"):rep(9) .. "13800138000", sent.phone)
  end)

  it("of another phone is not taken on the same connection", function()
    local blocks = run { feed(0x0200, POSITION, { phone = "013911112222" }) }
    assert.equal(0, #offline.of(blocks[1], "publish"))
    assert.equal(1, #offline.of(blocks[1], "complain"))
  end)

  it("of many phones is taken on a concentrator's", function()
    local other = { phone = "013911112222", serial = 1 }
    local blocks = run({ LOGIN, feed(0x0102, "code", other), feed(0x0200, POSITION, other),
      feed(0x0200, POSITION, { serial = 2 }) },
      { login = false, path = PATH .. " jt808-concentrator" })
    assert.equal("jt808/013911112222/location", first(blocks[3], "publish").topic)
    assert.equal("jt808/013800138000/location", first(blocks[4], "publish").topic)
    assert.equal("013911112222", terminal.sent(blocks[3])[1].phone)
  end)

  it("that is no BCD is its hex", function()
    local bytes = terminal.unhex "4f2606180229"
    local body = string.pack(">I2I2", 0x0102, 4) .. bytes .. "\0\1code"
    local x = 0
    for i = 1, #body do x = x ~ body:byte(i) end
    local blocks = run({ "feed 1 " .. terminal.hex("~" .. body .. string.char(x) .. "~") },
      { login = false })
    assert.equal("4f2606180229", first(blocks[1], "bind").device)
  end)

  it("keeps the edition of bodies that a registration showed", function()
    local text = '{"command":"text","args":{"flag":1,"text":"hi"}}'
    local blocks = run({ register { v2019 = true },
      feed(0x0102, "code", { v2019 = true, serial = 1 }),
      ("deliver %s jt808/x/down 1 %s"):format(DEVICE, text) },
      { login = false })
    local sent = terminal.sent(blocks[3])[1]
    assert.is_true(sent.v2019)
    assert.equal("\1hi", sent.body) -- without the text type of 2019
  end)
end)

describe("jt808 positions", function()
  it("are published once and answered each time", function()
    local frame = feed(0x0200, POSITION .. "\1\4\0\0\1\0", { serial = 7 })
    local blocks = run { frame, frame }
    assert.equal(1, #offline.of(blocks[1], "publish"))
    assert.equal(0, #offline.of(blocks[2], "publish"))
    assert.same({ 7, 0x0200, 0 }, answer_of(blocks[2]))
    local data = terminal.published(blocks[1])[1][2]
    assert.equal(25.6, data.extras.mileage_km)
    assert.equal("2026-08-07T18:10:00+08:00", data.time)
    assert.equal("2026-01-02T11:04:05+08:00", data.received)
    assert.equal(7, data.serial)
  end)

  it("that begin at serial 0 again are new", function()
    local blocks = run { feed(0x0200, POSITION, { serial = 0 }),
      feed(0x0200, POSITION .. "\x30\1\5", { serial = 0 }) }
    assert.equal(1, #offline.of(blocks[2], "publish"))
  end)

  it("are answered in frames whose bytes are escaped where they must be", function()
    local serials, commands = {}, {} -- enough that our own serial comes by there, too
    for _, high in ipairs { 0, 0x7D, 0x7E } do
      for low = 0x60, 0x90 do
        serials[#serials + 1] = high << 8 | low
        commands[#commands + 1] = feed(0x0200, POSITION, { serial = serials[#serials] })
      end
    end
    for i, events in ipairs(run(commands)) do
      assert.same({ serials[i], 0x0200, 0 }, answer_of(events))
    end
  end)

  it("in the south and west are negative, in alarms of theirs, too", function()
    local south = "\0\0\0\0\0\0\0\15" .. POSITION:sub(9)
    local place, time = POSITION:sub(9, 16), POSITION:sub(23, 28)
    local alarm = "\x67\41" .. "\0\0\0\1\1\1" .. "\20\0\5" .. place .. time
      .. "\0\0" .. "1234567" .. time .. "\1\1\0"
    local blocks = run { feed(0x0200, south .. alarm, { serial = 1 }) }
    local data = terminal.published(blocks[1])[1][2]
    assert.equal(-31.23, data.latitude)
    assert.equal(-121.47, data.longitude)
    assert.equal(-31.23, data.extras.bsd_alarm.latitude)
    assert.equal("1234567", data.extras.bsd_alarm.identification.terminal_id)
  end)

  it("have the extra items of the vendor that is configured", function()
    local extra = "\x51\2\1\2\x02\2\0\5"
    local blocks = run({ feed(0x0200, POSITION .. extra, { serial = 1 }) },
      { config = '{"vendor":"gps51"}' })
    local function extras() return terminal.published(blocks[1])[1][2].extras end
    assert.equal(0.5, extras().fuel_l)
    assert.near(25.8, extras().temperatures[1].magnitude_c, 1e-9)
    blocks = run { feed(0x0200, POSITION .. extra, { serial = 1 }) }
    assert.same({ ["0x51"] = "0102", fuel_l = 0.5 }, extras())
  end)

  it("have no time where the clock makes no sense", function()
    for time, raw in pairs { ["\x26\x13\1\0\0\0"] = "261301000000",
      ["\x26\2\x30\0\0\0"] = "260230000000", ["\xFF\xFF\xFF\xFF\xFF\xFF"] = "ffffffffffff" } do
      local blocks = run { feed(0x0200, POSITION:sub(1, 22) .. time, { serial = 1 }) }
      local data = terminal.published(blocks[1])[1][2]
      assert.is_nil(data.time)
      assert.equal(raw, data.time_raw)
      assert.equal(31.23, data.latitude)
    end
  end)

  it("of a batch say that they are old", function()
    local batch = "\0\1\1\0\28" .. POSITION
    local blocks = run { feed(0x0704, batch, { serial = 3 }) }
    local p = terminal.published(blocks[1])[1]
    assert.equal("location_batch", p[1])
    assert.equal(1, p[2].type)
    assert.equal(31.23, p[2].items[1].latitude)
  end)
end)

describe("jt808 long messages", function()
  local HEAD = "\0\0\0\9\0\0\0\1" .. POSITION

  local function packet(number, body, o)
    o = o or {}
    return feed(o.id or 0x0801, body, { serial = o.serial or 10 + number, total = o.total or 3,
      number = number })
  end

  it("become whole in any order, and a picture is published as it is", function()
    local blocks = run { packet(2, "def"), packet(3, "ghi"), packet(2, "def"),
      packet(1, HEAD .. "abc") }
    for i = 1, 4 do assert.equal(0x8001, terminal.sent(blocks[i])[1].id) end
    local all = terminal.published(blocks[4])
    assert.equal("jt808/013800138000/media_file/9.jpg", all[1][3])
    assert.equal("abcdefghi", all[1][2])
    assert.equal("9.jpg", all[2][2].file)
    assert.equal(9, all[2][2].size)
    local last = terminal.sent(blocks[4])[2]
    assert.equal(0x8800, last.id)
    assert.equal("\0\0\0\9", last.body)
  end)

  it("whose packets all have the head of the picture have it once", function()
    local blocks = run { packet(1, HEAD .. "abc"), packet(2, HEAD .. "def"),
      packet(3, HEAD .. "ghi") }
    assert.equal("abcdefghi", terminal.published(blocks[3])[1][2])
    blocks = run { packet(1, HEAD .. "abc"), packet(2, HEAD .. "def"), packet(3, "ghi") }
    assert.equal("abc" .. HEAD .. "defghi", first(blocks[3], "publish").payload)
  end)

  it("are asked for what is missing, then given up", function()
    local blocks = run({ packet(1, HEAD), packet(3, "ghi"), "advance 10001", "advance 10001",
      "advance 10001" }, { config = '{"resend_tries":2}' })
    local ask = terminal.sent(blocks[3])[1]
    assert.equal(0x8003, ask.id)
    assert.equal(string.pack(">I2BI2", 11, 1, 2), ask.body)
    assert.equal(0x8003, terminal.sent(blocks[4])[1].id)
    local event = terminal.published(blocks[5])[1]
    assert.equal("incomplete", event[1])
    assert.same({ 2 }, event[2].missing)
  end)

  it("are asked for in the width of the edition", function()
    local o = { v2019 = true, total = 2, number = 2, serial = 21 }
    local login = "\4code" .. ("i"):rep(15) .. ("v"):rep(20)
    local blocks = run({ feed(0x0102, login, { v2019 = true }), feed(0x0704, "x", o),
      "advance 10001" }, { login = false })
    assert.equal(string.pack(">I2I2I2", 20, 1, 1), terminal.sent(blocks[3])[1].body)
  end)

  it("with numbers that cannot be are refused", function()
    local blocks = run({ packet(0, "x"), packet(4, "x"), packet(1, "x", { total = 9999 }) })
    for i = 1, 3 do
      assert.equal(1, #offline.of(blocks[i], "complain"))
      assert.equal(1, terminal.answer(terminal.sent(blocks[i])[1])[3])
    end
  end)

  it("are bounded", function()
    local commands = {}
    for n = 1, 40 do commands[n] = packet(n, ("x"):rep(1000), { total = 100, serial = n }) end
    local blocks, refused = run(commands, { config = '{"reassembly":20000}' }), 0
    for i = 1, 40 do
      if terminal.answer(terminal.sent(blocks[i])[1])[3] == 1 then refused = refused + 1 end
    end
    assert.equal(20, refused)
  end)

  it("of terminals that log out leave room for others", function()
    local commands = {}
    for n = 1, 5 do
      local function from(text) return (text:gsub("^feed 1", "feed " .. n + 1)) end
      commands[#commands + 1] = "connect 192.0.2.1:" .. n
      commands[#commands + 1] = from(LOGIN)
      commands[#commands + 1] = from(packet(1, ("x"):rep(900), { total = 2 }))
      commands[#commands + 1] = from(feed(0x0003, "", { serial = 20 }))
    end
    local blocks = run(commands, { login = false, config = '{"reassembly_total":1000}' })
    for n = 1, 5 do
      assert.equal(0, terminal.answer(terminal.sent(blocks[4 * n - 1])[1])[3], n)
    end
  end)

  it("begin again with another first packet", function()
    local blocks = run { packet(1, "old", { id = 0x0701, total = 2 }),
      packet(1, "\0\0\0\4ab", { id = 0x0701, total = 2 }),
      packet(2, "cd", { id = 0x0701, total = 2 }) }
    assert.equal("61626364", terminal.published(blocks[3])[1][2].data)
  end)
end)

describe("jt808 attachments", function()
  local ID = "1234567" .. "\x26\1\2\3\4\5" .. "\1\1\0"
  local INFO = "1234567" .. ID .. ("A"):rep(32) .. "\0\1" .. "\5a.jpg" .. "\0\0\0\8"
  local FILE = "\5a.jpg\0\0\0\0\8"

  local function block(offset, bytes)
    return "feed 1 " .. terminal.hex("01cd" .. "a.jpg" .. ("\0"):rep(45)
      .. string.pack(">I4s4", offset, bytes))
  end

  it("come in blocks between the messages; missing ones are asked for", function()
    local blocks = run({ feed(0x1210, INFO, { serial = 1 }), feed(0x1211, FILE, { serial = 2 }),
      block(4, "~}gh"), feed(0x1212, FILE, { serial = 3 }), block(0, "abcd"),
      feed(0x1212, FILE, { serial = 4 }) },
      { login = false, path = PATH .. " jt808-attachments" })
    assert.equal(DEVICE .. "-attachments", first(blocks[1], "bind").device)
    assert.equal("a.jpg", terminal.published(blocks[1])[1][2].files[1].name)
    local again = terminal.sent(blocks[4])[1]
    assert.equal(0x9212, again.id)
    assert.equal("\5a.jpg\0\1\1" .. string.pack(">I4I4", 0, 4), again.body)
    assert.equal("\5a.jpg\0\0\0", terminal.sent(blocks[6])[1].body)
    -- Offline the host keeps no files: the blocks go out instead.
    local out = offline.of(blocks[6], "publish")
    local topic = "jt808/" .. DEVICE .. "/attachment_file/a.jpg/"
    assert.same({ topic .. 0, "abcd", topic .. 4, "~}gh" },
      { out[1].topic, out[1].payload, out[2].topic, out[2].payload })
    assert.is_true(terminal.published(blocks[6])[3][2].complete)
  end)

  it("are the same at every cut of the stream", function()
    local bytes = terminal.frame(0x1210, INFO, { serial = 1 })
      .. terminal.frame(0x1211, FILE, { serial = 2 })
      .. terminal.unhex(block(4, "~}gh"):sub(8)) .. terminal.unhex(block(0, "01cd"):sub(8))
      .. terminal.frame(0x1212, FILE, { serial = 3 })
    for from = 1, #bytes - 1, 40 do
      local commands, conn = { 'open {"logins_per_minute":100}' }, 0
      for cut = from, math.min(from + 39, #bytes - 1) do
        conn = conn + 1
        commands[#commands + 1] = "connect 192.0.2.1:" .. conn
        for _, part in ipairs { bytes:sub(1, cut), bytes:sub(cut + 1) } do
          commands[#commands + 1] = ("feed %d %s"):format(conn, terminal.hex(part))
        end
      end
      local blocks = offline.run(PATH .. " jt808-attachments", commands)
      for n = 1, conn do
        local kinds, whole = {}, {}
        for i = 3 * n, 3 * n + 1 do
          for _, p in ipairs(terminal.published(blocks[i])) do
            if p[3]:find "attachment_file" then
              whole[#whole + 1] = p[2]
            else
              kinds[#kinds + 1] = p[1]
            end
          end
        end
        assert.same({ "attachments", "attachment", "attachment_done" }, kinds, from + n)
        assert.same({ "01cd", "~}gh" }, whole)
      end
    end
  end)

  it("of Heilongjiang have names with a length in front, wherever they are cut", function()
    local commands = { 'open {"attachments":"blocks","logins_per_minute":1000}' }
    local conn, names = 0, {}
    -- Names as long as "0" and "1" are numbers, and one that goes past 50 bytes.
    for _, size in ipairs { 5, 48, 49, 200 } do
      local name = "0" .. ("n"):rep(size - 5) .. ".jpg"
      local file = string.pack(">s1BI4", name, 0, 8)
      local function counted(offset, bytes)
        return "01cd" .. string.pack(">s1I4s4", name, offset, bytes)
      end
      local bytes = terminal.frame(0x1210, ("t"):rep(30) .. "\x26\1\2\3\4\5\1\1" .. ("A"):rep(32)
          .. "\0\1" .. string.pack(">s1I4", name, 8), { serial = 1 })
        .. terminal.frame(0x1211, file, { serial = 2 })
        .. counted(4, "~}gh") .. counted(0, "01cd") .. terminal.frame(0x1212, file, { serial = 3 })
      for cut = 1, #bytes - 1, size < 48 and 5 or 31 do
        conn = conn + 1
        names[conn] = name
        commands[#commands + 1] = "connect 192.0.2.1:" .. conn
        for _, part in ipairs { bytes:sub(1, cut), bytes:sub(cut + 1) } do
          commands[#commands + 1] = ("feed %d %s"):format(conn, terminal.hex(part))
        end
      end
    end
    local blocks = offline.run(PATH .. " jt808-attachments-heilongjiang", commands)
    for n = 1, conn do
      local whole, done = {}, nil
      for i = 3 * n, 3 * n + 1 do
        for _, p in ipairs(terminal.published(blocks[i])) do
          if p[3]:find "attachment_file" then whole[#whole + 1] = p[2] end
          if p[1] == "attachment_done" then done = p[2] end
        end
      end
      assert.same({ "~}gh", "01cd" }, whole, n)
      assert.same({ names[n], true }, { done.name, done.complete })
    end
  end)

  it("that are larger than what is held go out in blocks as they come", function()
    local blocks = run({ feed(0x1210, INFO, { serial = 1 }), feed(0x1211, FILE, { serial = 2 }),
      block(0, "abcd"), block(4, "efgh"), feed(0x1212, FILE, { serial = 4 }) },
      { login = false, path = PATH .. " jt808-attachments", config = '{"attachment_size":6}' })
    assert.equal(0, #offline.of(blocks[3], "publish"))
    local both = offline.of(blocks[4], "publish")
    assert.same({ "abcd", "efgh" }, { both[1].payload, both[2].payload })
    assert.is_true(terminal.published(blocks[5])[1][2].complete)
  end)

  it("that come in more blocks than are held go out in blocks as well", function()
    local n = 4098
    local commands = { feed(0x1210, INFO, { serial = 1 }),
      feed(0x1211, "\5a.jpg\0" .. string.pack(">I4", n), { serial = 2 }) }
    for at = 0, n - 1 do commands[#commands + 1] = block(at, "x") end
    commands[#commands + 1] = feed(0x1212, "\5a.jpg\0" .. string.pack(">I4", n), { serial = 3 })
    local blocks = run(commands, { login = false, path = PATH .. " jt808-attachments" })
    assert.is_true(terminal.published(blocks[#blocks])[1][2].complete)
    assert.equal(0, #offline.of(blocks[#blocks - 1], "complain"))
    assert.equal(1, #offline.of(blocks[#blocks - 1], "publish"))
  end)

  it("whose announcements are cut short are nothing", function()
    local blocks = run({ feed(0x1210, INFO, { serial = 1 }), feed(0x1211, "", { serial = 2 }),
      feed(0x1211, "\5a.jpg\0", { serial = 3 }), block(0, "abcd"),
      feed(0x1212, "", { serial = 4 }), feed(0x1211, FILE, { serial = 5 }), block(0, "abcdefgh"),
      feed(0x1212, FILE, { serial = 6 }) }, { login = false, path = PATH .. " jt808-attachments" })
    for _, events in ipairs(blocks) do
      for _, e in ipairs(offline.of(events, "log")) do assert.are_not.equal("error", e.level) end
    end
    assert.equal(0, #offline.of(blocks[4], "publish"))
    assert.is_true(terminal.published(blocks[8])[2][2].complete)
  end)

  it("have names that are one level of a topic", function()
    local commands, want = { feed(0x1210, INFO, { serial = 1 }) }, {}
    for i, name in ipairs { "a/+#.jpg", "../b", "c\0d" } do
      local long = name .. ("\0"):rep(50 - #name)
      commands[2 * i] = feed(0x1211, string.pack(">s1BI4", name, 0, 4), { serial = 1 + i })
      commands[2 * i + 1] = "feed 1 "
        .. terminal.hex("01cd" .. long .. string.pack(">I4s4", 0, "abcd"))
      want[i] = ("jt808/%s/attachment_file/%s/0"):format(DEVICE, name:gsub("[/+#%z]", "_"))
    end
    commands[8] = feed(0x1211, string.pack(">s1BI4", "", 0, 4), { serial = 9 })
    local blocks = run(commands, { login = false, path = PATH .. " jt808-attachments",
      config = '{"attachments":"blocks"}' })
    for i, topic in ipairs(want) do
      assert.equal(topic, first(blocks[2 * i + 1], "publish").topic)
    end
    assert.equal(1, #offline.of(blocks[8], "complain")) -- a file without a name
  end)

  it("that were not announced are nothing", function()
    local blocks = run({ block(0, "abcd"), feed(0x1210, INFO, { serial = 1 }), block(0, "abcd") },
      { login = false, path = PATH .. " jt808-attachments" })
    assert.equal(0, #offline.of(blocks[1], "publish"))
    assert.equal(0, #offline.of(blocks[3], "publish"))
  end)
end)

describe("jt808 answers", function()
  it("are none to answers, 3 to what is not known, the time to who asks", function()
    local blocks = run { feed(0x0104, "\0\0\0", { serial = 1 }), feed(0x0F01, "x", { serial = 2 }),
      feed(0x0004, "", { serial = 3 }), feed(0x0003, "", { serial = 4 }) }
    assert.equal(0, #terminal.sent(blocks[1]))
    assert.equal(3, terminal.answer(terminal.sent(blocks[2])[1])[3])
    assert.equal("\x26\1\2\3\4\5", terminal.sent(blocks[3])[1].body)
    assert.equal(0, terminal.answer(terminal.sent(blocks[4])[1])[3])
    assert.equal(1, #offline.of(blocks[4], "close"))
  end)

  it("suit what vendors send outside of the text", function()
    local blocks = run { feed(0x0506, "", { serial = 1 }), feed(0x0109, "", { serial = 2 }),
      feed(0x1300, "\0\5\0a\0b", { serial = 3 }),
      feed(0x0205, "\1\9\45\0\90\40\0\0\0" .. POSITION, { serial = 4 }),
      feed(0x0205, "\1\2\3", { serial = 5 }) }
    assert.equal(0, terminal.answer(terminal.sent(blocks[1])[1])[3])
    assert.equal("\x26\1\2\3\4\5", terminal.sent(blocks[2])[1].body)
    assert.equal("ab", terminal.published(blocks[3])[1][2].text)
    local sky = terminal.published(blocks[4])[1][2]
    assert.same({ number = 9, elevation_deg = 45, azimuth_deg = 90, cn0 = 40 }, sky.beidou[1])
    assert.equal(31.23, sky.location.latitude)
    assert.equal("010203", terminal.published(blocks[5])[1][2].data)
  end)

  it("to encrypted bodies leave them as they are", function()
    local body = "\1\2\3"
    local frame = terminal.frame(0x0900, body, { serial = 1 })
    local b = frame:sub(2, -3)
    b = b:sub(1, 2) .. string.pack(">I2", 3 | 0x400) .. b:sub(5)
    local x = 0
    for i = 1, #b do x = x ~ b:byte(i) end
    local blocks = run { "feed 1 " .. terminal.hex("~" .. b .. string.char(x) .. "~") }
    assert.equal("010203", terminal.published(blocks[1])[1][2].encrypted)
  end)

  it("end after a long silence, also in the middle of a frame", function()
    for _, said in ipairs { "advance 1", "feed 1 7e0200" } do
      local blocks = run { said, "advance 601000" }
      assert.equal(1, #offline.of(blocks[2], "close"))
    end
  end)
end)

describe("jt808 models", function()
  it("choose the dialect of extra items, also at later logins", function()
    local position = feed(0x0200, POSITION .. "\x06\1\x55", { serial = 8 })
    local function battery(events) return terminal.published(events)[1][2].extras.battery_pct end
    local blocks = run({ register { serial = 1 }, LOGIN, position, "hangup 1",
      "connect 192.0.2.1:1", (LOGIN:gsub("^feed 1", "feed 2")),
      (position:gsub("^feed 1", "feed 2")) },
      { login = false, config = '{"models":{"MODEL":"battery"}}' })
    assert.equal(85, battery(blocks[3]))
    assert.equal(85, battery(blocks[7]))
  end)
end)
