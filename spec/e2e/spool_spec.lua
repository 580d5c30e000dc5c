-- SPDX-License-Identifier: Apache-2.0
-- Spools and durable keys through the real binary: a script that does what lines on its
-- connection tell it, with the store in memory and on disk.
local cjson = require "cjson"
local Host = require "support.host"

local SCRIPT = [[
local tg = require "tidegate"
local M = tg.adapter { id = "keeper", version = "1.0.0", api = 1, frame = { kind = "line" },
  config = { spool = { type = "map", default = {} } } }

local q = tg.spool.open("outbox", M.config.spool)

function M.decode(frame) return { line = frame } end

local function reply(conn, ...)
  local value, err = ...
  conn:send(tg.json.encode { value = value, code = err and err.code } .. "\n")
end

--- All at once, so that they share commits. @return the last id, or the first error
local function fill(n, tail)
  local done, last, failed = 0, 0, nil
  for i = 1, n do
    tg.timer.after(0, function()
      local id, err = q:push(("%06d"):format(i) .. tail)
      done, last, failed = done + 1, math.max(last, id or 0), failed or err
    end)
  end
  while done < n do tg.sleep "1ms" end
  if failed then return nil, failed end
  return last
end

local function answer(conn, word, a, b)
  if word == "push" then return reply(conn, q:push(a)) end
  if word == "fill" then
    return reply(conn, fill(math.tointeger(a), ("x"):rep(math.tointeger(b))))
  end
  if word == "peek" then return reply(conn, q:peek(math.tointeger(a), b ~= "" and b or nil)) end
  if word == "ack" then return reply(conn, q:ack(math.tointeger(a))) end
  if word == "stats" then return reply(conn, q:stats()) end
  if word == "set" then return reply(conn, tg.kv.set(a, b)) end
  if word == "keep" then return reply(conn, tg.kv.set(a, b, { durable = true })) end
  if word == "add" then return reply(conn, tg.kv.add(a, b, { durable = true })) end
  if word == "incr" then return reply(conn, tg.kv.incr(a, 1, { durable = true })) end
  if word == "brief" then return reply(conn, tg.kv.set(a, b, { durable = true, ttl = "300ms" })) end
  if word == "get" then return reply(conn, tg.kv.get(a) or false) end
  if word == "del" then return reply(conn, tg.kv.del(a, { durable = true })) end
end

function M.on_message(conn, m) answer(conn, m.line:match "^(%S+) ?(%S*) ?(%S*)$") end

return M
]]

local folder, host

local function start(store, spool)
  Host.write(folder .. "/init.lua", SCRIPT)
  host = Host.start { config = {
    workers = 2,
    store = store == "disk" and { plugin = "lmdb", path = folder .. "/store" } or "",
    plugins = { { name = folder, options = { spool = spool } } },
    listeners = { { name = "keeper", adapter = "keeper", anonymous = true } },
  } }
end

local function kill()
  host.process:kill "sigkill"
  host.process:wait()
end

--- A connection that asks and waits for the answer.
local function connect()
  local conn = Host.connect(host.ports.keeper)
  return function(line)
    conn:send(line .. "\n")
    local text
    Host.await(function()
      text = conn.data:match "^([^\n]*)\n"
      return text
    end, "the answer to " .. line)
    conn.data = conn.data:sub(#text + 2)
    local got = cjson.decode(text)
    return got.value, got.code
  end
end

local function bytes_of(items)
  local out = {}
  for i, item in ipairs(items) do out[i] = item.bytes end
  return out
end

describe("a spool", function()
  before_each(function() folder = Host.folder() end)
  after_each(Host.cleanup)

  for _, store in ipairs { "memory", "disk" } do
    it("gives what was pushed in its order until it is taken away, in " .. store, function()
      start(store)
      local ask, other = connect(), connect()
      assert.same({}, ask "peek 5")
      for i = 1, 5 do assert.equal(i, ask("push item-" .. i)) end
      assert.same({ "item-1", "item-2", "item-3" }, bytes_of(ask "peek 3"))
      assert.same({ "item-1", "item-2", "item-3", "item-4", "item-5" }, bytes_of(other "peek 9"))
      assert.is_true(other "ack 2")
      local items = ask "peek 1"
      assert.equal(3, items[1].id)
      assert.is_true(items[1].at > 1.7e12)
      assert.is_true(ask "ack 1")
      local _, code = ask "ack 6"
      assert.equal("NOTFOUND", code)
      local stats = ask "stats"
      assert.equal(3, stats.count)
      assert.equal(18, stats.bytes)
      assert.equal(5, stats.pushed)
      assert.equal(2, stats.acked)
      assert.is_true(ask "ack 5")
      assert.same({}, ask "peek 9")
      assert.equal(6, ask "push again")
      assert.equal(1, host:metric 'tidegate_spool_items{plugin="keeper",spool="outbox"}')
      host:stop()
    end)

    it("wakes who waits for an item, and lets him go in time, in " .. store, function()
      start(store)
      local waiter, other = connect(), connect()
      assert.same({}, waiter "peek 3 50ms")
      local conn = Host.connect(host.ports.keeper)
      conn:send "peek 3 20s\n"
      other "stats"
      assert.equal(1, other "push wake")
      Host.await(function() return conn.data:find("wake", 1, true) end, "the item")
      host:stop()
    end)

    it("drops what is oldest at its bounds, and counts it, in " .. store, function()
      start(store, { max_count = 3 })
      local ask = connect()
      for i = 1, 5 do assert.equal(i, ask("push item-" .. i)) end
      assert.same({ "item-3", "item-4", "item-5" }, bytes_of(ask "peek 9"))
      assert.equal(2, ask("stats").dropped)
      host:stop()
      folder = Host.folder()
      start(store, { max_bytes = 1000 })
      ask = connect()
      ask "fill 100 94"
      assert.equal(10, ask("stats").count)
      assert.equal("000091", ask("peek 1")[1].bytes:sub(1, 6))
      local _, code = ask("push " .. ("y"):rep(1001))
      assert.equal("TOOBIG", code)
      assert.equal(101, ask("push " .. ("y"):rep(1000)))
      assert.equal(1, ask("stats").count)
      host:stop()
    end)

    it("refuses at its bounds if told to, in " .. store, function()
      start(store, { max_count = 2, when_full = "refuse" })
      local ask = connect()
      ask "push a"
      ask "push b"
      local _, code = ask "push c"
      assert.equal("FULL", code)
      assert.same({ "a", "b" }, bytes_of(ask "peek 9"))
      assert.equal(1, ask("stats").refused)
      ask "ack 1"
      assert.equal(3, ask "push c")
      host:stop()
    end)

    it("drops what is too old, in " .. store, function()
      start(store, { max_age = "200ms" })
      local ask = connect()
      ask "push old"
      Host.eventually(function() return #ask "peek 1" == 0 end, "its age to end")
      assert.equal(1, ask("stats").dropped)
      assert.equal(2, ask "push new")
      host:stop()
    end)
  end

  it("has one age in memory and on disk: from the push on", function()
    start "disk"
    local ask = connect()
    for i = 1, 30 do ask("push item-" .. i) end
    local before = ask "peek 30"
    kill()
    start "disk"
    ask = connect()
    assert.same(before, ask "peek 30")
    host:stop()
  end)

  it("on disk outlives kill -9, whole and read in pages", function()
    start "disk"
    local ask = connect()
    assert.equal(300, ask "fill 300 5000")
    assert.is_true(ask "ack 100")
    kill()
    start "disk"
    ask = connect()
    local stats = ask "stats"
    assert.equal(200, stats.count)
    assert.equal(200 * 5006, stats.bytes)
    local seen = 100
    while true do
      local items = ask "peek 100"
      if #items == 0 then break end
      for _, item in ipairs(items) do
        seen = seen + 1
        assert.equal(seen, item.id)
        assert.equal(("%06d"):format(seen), item.bytes:sub(1, 6))
      end
      if seen > 150 then assert.is_true(ask("ack " .. items[#items].id)) break end
      assert.is_true(ask("ack " .. items[#items].id))
    end
    kill()
    start "disk"
    ask = connect()
    assert.equal(seen + 1, ask("peek 1")[1].id)
    assert.equal(301, ask "push next")
    assert.is_true(ask "ack 301")
    kill()
    start "disk"
    ask = connect()
    assert.equal(302, ask "push after")
    assert.equal(1, ask("stats").count)
    host:stop()
  end)

  it("that shrinks its bounds drops hundreds in turn", function()
    start "disk"
    assert.equal(700, connect() "fill 700 10")
    host:stop()
    start("disk", { max_count = 10 })
    local ask = connect()
    ask "peek 1"
    Host.eventually(function() return ask("stats").count == 10 end, "the rest to go")
    assert.equal("000691", ask("peek 1")[1].bytes:sub(1, 6))
    assert.equal(690, ask("stats").dropped)
    host:stop()
  end)
end)

describe("a durable key", function()
  before_each(function() folder = Host.folder() end)
  after_each(Host.cleanup)

  it("outlives kill -9, with all its changes and until it is deleted", function()
    start "disk"
    local ask, other = connect(), connect()
    assert.is_true(ask "keep code 4711")
    assert.is_true(ask "add once x")
    assert.is_false(ask "add once y")
    for n = 1, 5 do assert.equal(n, (n % 2 == 0 and ask or other) "incr count") end
    assert.is_true(ask "keep gone x")
    assert.is_true(other "del gone")
    assert.is_true(ask "keep changed old")
    assert.is_true(other "set changed new")
    assert.is_true(ask "set plain x")
    assert.is_true(ask "brief short x")
    ask "keep last x" -- behind the plain change of `changed`
    kill()
    start "disk"
    ask = connect()
    assert.equal("4711", ask "get code")
    assert.equal("x", ask "get once")
    assert.equal("5", ask "get count")
    assert.equal("new", ask "get changed")
    assert.is_false(ask "get gone")
    assert.is_false(ask "get plain")
    Host.eventually(function() return ask "get short" == false end, "the end of its time")
    assert.equal(6, ask "incr count")
    kill()
    start "disk"
    assert.equal("6", connect() "get count")
    assert.is_false(connect() "get short")
    host:stop()
  end)

  it("is a key like others where nothing is on disk", function()
    start "memory"
    local ask = connect()
    assert.is_true(ask "keep code 4711")
    assert.equal("4711", ask "get code")
    assert.is_true(ask "del code")
    assert.is_false(ask "get code")
    host:stop()
  end)
end)
