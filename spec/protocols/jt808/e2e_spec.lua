-- SPDX-License-Identifier: Apache-2.0
-- A terminal on a socket of the real host, an MQTT client on the other side.
local cjson = require "cjson"
local Host = require "support.host"
local terminal = dofile "spec/protocols/jt808/terminal.lua"

local PHONE = "013800138000"

--- Where the `n`th frame in `bytes` ends.
local function frames_end(bytes, n)
  local at = 0
  for _ = 1, 2 * n do
    at = bytes:find("~", at + 1, true)
    if not at then return end
  end
  return at
end

--- Takes the next `n` frames, and leaves what came behind them.
local function answers(conn, n)
  local last = Host.await(function() return frames_end(conn.data, n) end, n .. " frames")
  local frames = terminal.read(conn.data:sub(1, last))
  conn.data = conn.data:sub(last + 1)
  return frames
end

--- Waits for a frame with this id; what else came (packets may be asked for) is passed over.
local function answer_with(conn, id)
  local found
  Host.await(function()
    for _, f in ipairs(terminal.read(conn.data:match "^(.*~)" or "")) do
      if f.id == id then found = f end
    end
    return found
  end, ("a frame 0x%04x"):format(id))
  conn.data = ""
  return found
end

local function subscribe(host)
  local sub = Host.spawn("mosquitto_sub", { "-p", host.ports.mqtt, "-t", "jt808/#", "-q", 1,
    "-F", "%t %p", "-i", "watcher", "-V", "mqttv5" })
  Host.eventually(function()
    local _, topics = host:api("GET", "/api/v1/topics")
    for _, item in ipairs(topics.items) do
      if item.filter == "jt808/#" then return true end
    end
  end, "the subscription")
  return sub
end

--- The next message of a type, whatever came of others in between: what two clients publish
--- comes in no order.
local function next_of(sub, type)
  local head, at = "^jt808/" .. PHONE .. "/" .. type .. " (.*)$", sub.at or {}
  sub.at = at
  local text
  Host.await(function()
    while not text and (at[type] or 0) < #sub.out do
      at[type] = (at[type] or 0) + 1
      text = sub.out[at[type]]:match(head)
    end
    return text
  end, "a message of type " .. type)
  return cjson.decode(text)
end

local function publish(host, message, ...)
  local code = Host.run("mosquitto_pub", { "-p", host.ports.mqtt, "-q", "1", "-t",
    "jt808/" .. PHONE .. "/down", "-m", cjson.encode(message), ... })
  assert.equal(0, code)
end

describe("a terminal", function()
  local host, sub, conn

  before_each(function()
    host = Host.start { config = {
      plugins = { mqtt = {}, jt808 = { resend_after = "300ms", resend_tries = 1000 } },
      listeners = {
        { name = "mqtt", adapter = "mqtt", anonymous = true },
        { name = "jt808", adapter = "jt808", anonymous = true },
        { name = "attachments", adapter = "jt808-attachments", anonymous = true },
        { name = "heilongjiang", adapter = "jt808-attachments-heilongjiang", anonymous = true },
      },
    } }
    sub = subscribe(host)
    conn = Host.connect(host.ports.jt808)
  end)
  after_each(Host.cleanup)

  local function say(id, body, o)
    conn:send(terminal.frame(id, body, o))
  end

  local function join()
    say(0x0100, string.pack(">I2I2", 31, 115) .. "abcde" .. ("m"):rep(20) .. "1234567\1PLATE",
      { serial = 0 })
    local registered = answers(conn, 1)[1]
    assert.equal(0x8100, registered.id)
    say(0x0102, registered.body:sub(4), { serial = 1 })
    assert.same({ 1, 0x0102, 0 }, { table.unpack(terminal.answer(answers(conn, 1)[1]), 1, 3) })
  end

  it("registers, authenticates, reports, and is answered with its serials", function()
    join()
    assert.equal("PLATE", next_of(sub, "register").plate)
    next_of(sub, "auth")
    for serial = 2, 101 do say(0x0200, terminal.POSITION .. "\1\4\0\0\1\0", { serial = serial }) end
    local frames = answers(conn, 100)
    for i, f in ipairs(frames) do
      assert.same({ i + 1, 0x0200, 0 }, { table.unpack(terminal.answer(f), 1, 3) })
    end
    for serial = 2, 101 do
      local report = next_of(sub, "location")
      assert.equal(serial, report.serial)
      assert.near(31.23, report.latitude, 1e-9)
      assert.equal(25.6, report.extras.mileage_km)
    end
    conn:close()
    host:stop()
  end)

  it("gets commands and is heard, also after it was away", function()
    join()
    publish(host, { command = "query_location", id = "job-1" })
    local ask = answers(conn, 1)[1]
    assert.equal(0x8201, ask.id)
    assert.equal("sent", next_of(sub, "command").state)
    say(0x0201, string.pack(">I2", ask.serial) .. terminal.POSITION, { serial = 2 })
    local fate = next_of(sub, "command")
    assert.equal("acked", fate.state)
    assert.equal("job-1", fate.id)

    conn:close()
    Host.eventually(function()
      local status, body = host:api("GET", "/api/v1/clients/" .. PHONE)
      return status == 404 or body.connected == false
    end, "the terminal to be gone")
    publish(host, { command = "text", args = { text = "hello" }, id = "job-2" })
    fate = next_of(sub, "command")
    assert.same({ "queued", "job-2" }, { fate.state, fate.id })
    conn = Host.connect(host.ports.jt808)
    say(0x0102, "code", { serial = 0 })
    local frames = answers(conn, 2)
    local text = frames[1].id == 0x8300 and frames[1] or frames[2]
    assert.equal("\12hello", text.body)
    say(0x0001, string.pack(">I2I2B", text.serial, 0x8300, 0), { serial = 1 })
    assert.equal("sent", next_of(sub, "command").state)
    fate = next_of(sub, "command")
    assert.same({ "acked", "job-2" }, { fate.state, fate.id })
    conn:close()
    host:stop()
  end)

  it("that leaves without an answer finds the command again", function()
    join()
    publish(host, { command = "check_link", id = "job-3" }, "-V", "mqttv5",
      "-D", "publish", "message-expiry-interval", 3600)
    assert.equal(0x8204, answers(conn, 1)[1].id)
    assert.is_nil(next_of(sub, "down").ttl)
    assert.equal("sent", next_of(sub, "command").state)
    conn:close()
    local again = next_of(sub, "down") -- what was left of the message's life is its ttl
    assert.same({ "job-3", 1 }, { again.id, again.again })
    assert.is_true(again.ttl > 0 and again.ttl <= 3600)
    assert.equal("queued", next_of(sub, "command").state)
    conn = Host.connect(host.ports.jt808)
    say(0x0102, "code", { serial = 0 })
    local frames = answers(conn, 2)
    local ask = frames[1].id == 0x8204 and frames[1] or frames[2]
    assert.equal(0x8204, ask.id)
    say(0x0001, string.pack(">I2I2B", ask.serial, 0x8204, 0), { serial = 1 })
    next_of(sub, "command")
    local fate = next_of(sub, "command")
    assert.same({ "job-3", "acked" }, { fate.id, fate.state })
    conn:close()
    host:stop()
  end)

  it("is asked for the packet that did not come", function()
    join()
    local head = "\0\0\0\7\0\0\0\1" .. terminal.POSITION
    say(0x0801, head .. "abc", { serial = 2, total = 3, number = 1 })
    say(0x0801, "ghi", { serial = 4, total = 3, number = 3 })
    assert.equal(2, #answers(conn, 2))
    local ask = answers(conn, 1)[1]
    assert.equal(0x8003, ask.id)
    assert.equal(string.pack(">I2BI2", 2, 1, 2), ask.body)
    say(0x0801, "def", { serial = 3, total = 3, number = 2 })
    local done
    repeat -- it may have been asked once more meanwhile
      done = answers(conn, 1)[1]
      if done.id == 0x8001 then assert.equal(3, terminal.answer(done)[1]) end
    until done.id == 0x8800
    assert.equal("\0\0\0\7", done.body)
    local record = next_of(sub, "media")
    assert.equal(9, record.size)
    assert.matches("^jt808/" .. PHONE .. "/%d+%-7%.jpg$", record.file)
    assert.equal("19cc02f26df43cc571bc9ed7b0c4d29224a3ec229529221725ef76d021c8326f", record.sha256)
    assert.equal("abcdefghi", Host.read(host.folder .. "/state/files/" .. record.file))
    conn:close()
    host:stop()
  end)

  it("goes on with what is under way over a reload, and its commands find it later", function()
    local function part(number, bytes, serial)
      say(0x0801, bytes, { serial = serial, total = 2, number = number })
    end
    local HEAD = "\0\0\0\7\0\0\0\1" .. terminal.POSITION
    join()
    publish(host, { command = "query_location", id = "job-1" })
    local ask = answer_with(conn, 0x8201)
    part(1, HEAD .. "abc", 10)
    answer_with(conn, 0x8001)
    local code, out, err = host:cli("reload", "jt808")
    assert.equal(0, code, out .. err)
    publish(host, { command = "check_link", id = "job-2" })
    local check = answer_with(conn, 0x8204)
    part(2, "def", 11)
    answer_with(conn, 0x8800)
    assert.equal(6, next_of(sub, "media").size)
    say(0x0201, string.pack(">I2", ask.serial) .. terminal.POSITION, { serial = 12 })
    say(0x0001, string.pack(">I2I2B", check.serial, 0x8204, 0), { serial = 13 })
    local ended = {}
    while not (ended["job-1"] and ended["job-2"]) do
      local fate = next_of(sub, "command")
      if fate.state ~= "sent" then ended[fate.id] = fate.state end
    end
    assert.same({ ["job-1"] = "acked", ["job-2"] = "acked" }, ended)

    -- A command under way when the terminal comes back, to the new code, is sent again there.
    publish(host, { command = "check_link", id = "job-3" })
    answer_with(conn, 0x8204)
    local second = Host.connect(host.ports.jt808)
    second:send(terminal.frame(0x0102, "code", { serial = 0 }))
    check = answer_with(second, 0x8204)
    second:send(terminal.frame(0x0001, string.pack(">I2I2B", check.serial, 0x8204, 0),
      { serial = 1 }))
    repeat
      local fate = next_of(sub, "command")
      assert.is_not.equal("expired", fate.state)
    until fate.id == "job-3" and fate.state == "acked"
    second:close()
    host:stop()
  end)

  --- Announces the file `name` of eight bytes, sends it with a gap, and fills that.
  --- @param prefix string what 0x1210 begins with, up to the alarm's number
  --- @param form string of a block's name
  --- @return table record of the file when it is whole
  local function upload(port, prefix, name, form)
    local file = string.pack(">s1BI4", name, 0, 8)
    conn:close()
    conn = Host.connect(port)
    say(0x1210, prefix .. "a-17" .. ("\0"):rep(28) .. "\0\1" .. string.pack(">s1I4", name, 8),
      { serial = 0 })
    say(0x1211, file, { serial = 1 })
    local function block(offset, bytes)
      conn:send("01cd" .. string.pack(">" .. form .. "I4s4", name, offset, bytes))
    end
    block(4, "efgh")
    say(0x1212, file, { serial = 2 })
    local again = answers(conn, 3)[3]
    assert.equal(string.pack(">s1BBBI4I4", name, 0, 1, 1, 0, 4), again.body)
    assert.is_false(next_of(sub, "attachment_done").complete)
    block(0, "abcde")
    say(0x1212, file, { serial = 3 })
    assert.equal(string.pack(">s1BBB", name, 0, 0, 0), answers(conn, 1)[1].body)
    local record = next_of(sub, "attachment_done")
    assert.is_true(record.complete)
    assert.equal("abcdefgh", Host.read(host.folder .. "/state/files/" .. record.file))
    assert.equal("9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab", record.sha256)
    conn:close()
    return record
  end

  local TIME = "\x26\1\2\3\4\5"

  it("sends the attachments of an alarm, which become files, whatever they are called", function()
    local record = upload(host.ports.attachments, "1234567" .. "1234567" .. TIME .. "\1\1\0",
      "../../00_1_6401_0_a/1.jpg", "c50")
    assert.equal("jt808/" .. PHONE .. "/a-17/%2E.%2F..%2F00_1_6401_0_a%2F1.jpg", record.file)
    host:stop()
  end)

  it("of Heilongjiang sends them with the lengths of their names", function()
    local name = "00_65_6502_0_" .. ("a"):rep(32) .. ".jpg" -- 49 bytes, which is the digit 1
    local record = upload(host.ports.heilongjiang, ("t"):rep(30) .. TIME .. "\1\1", name, "s1")
    assert.equal("jt808/" .. PHONE .. "/a-17/" .. name, record.file)
    host:stop()
  end)
end)
