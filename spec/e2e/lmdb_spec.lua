-- SPDX-License-Identifier: Apache-2.0
-- The store on disk: what was acknowledged is there after kill -9, once and in order; a store
-- that is full says so, and what is wrong with its folder is said at the start.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local wire = Mqtt.wire

local folder, host

local function config(options)
  local store = { plugin = "lmdb", path = folder .. "/store" }
  for key, value in pairs(options or {}) do store[key] = value end
  return { workers = 2, store = store, plugins = { mqtt = { client_id_max = 65535 } },
    limits = { queue_messages = 100000, queue_bytes = "64MiB" },
    listeners = { { name = "mqtt", adapter = "mqtt", anonymous = true } } }
end

local function start(options) host = Host.start { config = config(options) } end

local function kill()
  host.process:kill "sigkill"
  host.process:wait()
end

local function client(id, more)
  return Mqtt.connect(host.ports.mqtt,
    { id = id, clean = false, props = { session_expiry = 1000 } }, more)
end

-- ---- numbered load ----------------------------------------------------------------------

--- A publisher of numbered messages, many on their way; it knows which were acknowledged.
local Publisher = {}
Publisher.__index = Publisher

function Publisher.new(name, qos, topic)
  local self = { name = name, qos = qos, topic = topic, sent = 0, open = 0, acked = {} }
  return setmetatable(self, Publisher):connect()
end

--- Anew, and without what was open: its fate is nobody's promise.
function Publisher:connect()
  self.client = client(self.name, { clean = true, props = {} })
  self.numbers, self.open = {}, 0
  return self
end

function Publisher:fill(window)
  while self.open < window do
    self.sent, self.open = self.sent + 1, self.open + 1
    local id = self.client:packet_id()
    self.numbers[id] = self.sent
    self.client:send(wire.publish(5, self.topic, ("%s %d"):format(self.name, self.sent),
      { qos = self.qos, packet_id = id }))
  end
end

--- Takes one answer. @return one more message is acknowledged
function Publisher:step()
  local packet = self.client:read()
  assert.is_true(packet.reason < 0x80, packet.type .. " " .. packet.reason)
  if packet.type ~= "PUBREC" then self.open = self.open - 1 end
  if packet.type == "PUBCOMP" then return false end
  self.acked[#self.acked + 1] = self.numbers[packet.packet_id]
  if packet.type == "PUBREC" then self.client:send(wire.ack("PUBREL", packet.packet_id)) end
  return true
end

function Publisher:finish()
  while self.open > 0 do self:step() end
  self.client:disconnect()
end

local function publishers_of(qos)
  local list = {}
  for i = 1, 4 do list[i] = Publisher.new(("p%d-%d"):format(qos, i), qos, "load/" .. i) end
  return list
end

--- What a subscriber has seen, by publisher.
local Record = {}
Record.__index = Record

function Record.new() return setmetatable({ last = {}, seen = {} }, Record) end

--- In order; none of QoS 2 twice, and of QoS 1 only what came before and was not acknowledged.
function Record:take(message)
  if message.known then return end
  local name, n = message.payload:match "^(%S+) (%d+)$"
  n = tonumber(n)
  local before = n <= (self.last[name] or 0)
  assert.is_false(before and not message.dup, ("%s %d is late or came twice"):format(name, n))
  assert.is_false(before and message.qos == 2, ("%s %d came twice"):format(name, n))
  self.last[name] = math.max(n, self.last[name] or 0)
  self.seen[message.payload] = true
end

function Record:has_all(publishers)
  for _, p in ipairs(publishers) do
    for _, n in ipairs(p.acked) do
      local text = ("%s %d"):format(p.name, n)
      assert.is_true(self.seen[text], text .. " was acknowledged and is lost")
    end
  end
end

--- What waits for `reader`, up to a message that is published now.
local function take_rest(reader, record)
  local last = client("last", { clean = true, props = {} })
  last:publish("load/last", "last 1", { qos = 2 })
  last:disconnect()
  while not record.last.last do record:take(reader:receive()) end
  assert.same({}, reader:settle())
end

--- Loads the host until each has `count` more acknowledgements, then kills it amid the rest.
local function load_and_kill(publishers, count, meanwhile)
  for _ = 1, count do
    for _, p in ipairs(publishers) do
      repeat p:fill(32) until p:step()
    end
    meanwhile()
  end
  kill()
  start()
  for _, p in ipairs(publishers) do p:connect() end
end

describe("the store on disk", function()
  before_each(function() folder = Host.folder() end)
  after_each(Host.cleanup)

  for qos = 1, 2 do
    it("loses nothing of QoS " .. qos .. " to kill -9, for a session that is away", function()
      start()
      local away, record = client "away", Record.new()
      away:subscribe("load/#", 2)
      away:disconnect()
      local publishers = publishers_of(qos)
      for _ = 1, 3 do load_and_kill(publishers, 40, function() end) end
      for _, p in ipairs(publishers) do p:finish() end
      away = client "away"
      assert.is_true(away.connack.present)
      take_rest(away, record)
      record:has_all(publishers)
      away:disconnect()
      host:stop()
    end)

    it("loses nothing of QoS " .. qos .. " to kill -9, for one that reads along", function()
      start()
      local reader, record = client "reader", Record.new()
      reader:subscribe("load/#", 2)
      local publishers = publishers_of(qos)
      for _ = 1, 3 do
        load_and_kill(publishers, 30, function() record:take(reader:receive()) end)
        reader = client("reader"):resume(reader)
        assert.is_true(reader.connack.present)
      end
      for _, p in ipairs(publishers) do p:finish() end
      take_rest(reader, record)
      record:has_all(publishers)
      reader:disconnect()
      host:stop()
    end)
  end

  it("keeps sessions, subscriptions, retained messages and ids of any length", function()
    start()
    local long = ("x"):rep(900)
    local ids = { "short", long .. "a", long .. "b", ("y"):rep(20000) }
    local pub = client("pub", { clean = true, props = {} })
    for i, id in ipairs(ids) do
      local c = client(id)
      c:subscribe { { "a/" .. i, 1 }, { long .. "/" .. i .. "/+", 2 } }
      c:disconnect()
    end
    pub:publish("kept/" .. long, "old", { qos = 1, retain = true })
    pub:publish("kept/" .. long, "new", { qos = 1, retain = true })
    pub:publish("kept/gone", "x", { qos = 1, retain = true })
    pub:publish("kept/gone", "", { qos = 1, retain = true })
    for i in ipairs(ids) do
      pub:publish("a/" .. i, "one " .. i, { qos = 1 })
      pub:publish(long .. "/" .. i .. "/z", "two " .. i, { qos = 2 })
    end
    kill()
    start()
    for i, id in ipairs(ids) do
      local c = client(id)
      assert.is_true(c.connack.present, "session " .. i)
      assert.equal("one " .. i, c:receive().payload)
      assert.equal("two " .. i, c:receive().payload)
      assert.same({}, c:settle())
      c:disconnect(0, { session_expiry = 0 })
    end
    local c = client("new", { clean = true, props = {} })
    c:subscribe("kept/#", 1)
    local m = c:receive()
    assert.equal("new", m.payload)
    assert.equal("kept/" .. long, m.topic)
    assert.same({}, c:settle())
    c:disconnect()
    host:stop()
    start()
    for i, id in ipairs(ids) do assert.is_false(client(id).connack.present, "session " .. i) end
    host:stop()
  end)

  it("has on disk what it was given when it is told to end, relaxed or not", function()
    for _, durability in ipairs { "commit", "relaxed" } do
      start { durability = durability, interval = "10s" }
      local away = client(durability)
      away:subscribe(durability, 1)
      away:disconnect()
      local pub = client("pub", { clean = true, props = {} })
      for i = 1, 200 do
        pub:send(wire.publish(5, durability, tostring(i), { qos = 1, packet_id = i }))
      end
      for _ = 1, 200 do pub:read "PUBACK" end
      host:stop()
      start { durability = durability }
      away = client(durability)
      for i = 1, 200 do assert.equal(tostring(i), away:receive().payload) end
      away:disconnect()
      host:stop()
    end
  end)
end)

describe("a store on disk that is full", function()
  before_each(function() folder = Host.folder() end)
  after_each(Host.cleanup)

  it("refuses by the reason, keeps what it acknowledged, and takes more once it is read", function()
    start { map_size = "2MiB" }
    local away = client "away"
    away:subscribe("fill", 2)
    away:disconnect()
    local pub = client("pub", { clean = true, props = {} })
    local kept, block = {}, ("x"):rep(10000)
    for i = 1, 1000 do
      local answer = pub:publish("fill", ("%04d"):format(i) .. block, { qos = 1 + i % 2 })
      if answer.reason >= 0x80 then
        assert.equal(0x97, answer.reason) -- quota exceeded
        break
      end
      kept[#kept + 1] = ("%04d"):format(i)
    end
    assert.is_true(#kept > 50 and #kept < 250, #kept .. " messages of 10 KB in 2 MiB")
    host:log_line "full: .*raise map_size"
    assert.is_true(host:metric "tidegate_lmdb_refused_total" > 0)
    local reason = 0
    for i = 1, 100 do -- sessions, too, are refused by the reason
      local c = client(("%03d"):format(i) .. ("x"):rep(20000), { refused = true })
      reason = c.connack.reason
      c:drop()
      if reason ~= 0 then break end
    end
    assert.equal(0x97, reason)
    kill()
    start { map_size = "2MiB" }
    away = client "away"
    for _, n in ipairs(kept) do assert.equal(n, away:receive().payload:sub(1, 4)) end
    assert.same({}, away:settle())
    pub = client("pub", { clean = true, props = {} })
    for i = 1, 30 do
      assert.is_true(pub:publish("fill", "again " .. i .. block, { qos = 2 }).reason < 0x80)
      assert.truthy(away:receive().payload:find("^again " .. i))
    end
    for _, c in ipairs { away, pub } do c:disconnect() end
    host:stop()
  end)

  it("can still be emptied when small messages filled it, again and again", function()
    start { map_size = "1MiB" }
    for round = 1, 3 do
      local away = client "away"
      away:subscribe("fill", 1)
      away:disconnect()
      local pub, full = client("pub", { clean = true, props = {} }), false
      while not full do
        for i = 1, 200 do
          pub:send(wire.publish(5, "fill", "some bytes", { qos = 1, packet_id = i }))
        end
        for _ = 1, 200 do full = pub:read("PUBACK").reason == 0x97 or full end
      end
      pub:disconnect()
      away = client "away"
      away:disconnect(0, { session_expiry = 0 }) -- all of it in one deletion
      host:stop()
      start { map_size = "1MiB" }
      local c = client("away", { clean = false })
      assert.is_false(c.connack.present, "round " .. round)
      c:disconnect(0, { session_expiry = 0 })
    end
    host:stop()
  end)
end)

describe("a folder that is no store", function()
  before_each(function() folder = Host.folder() end)
  after_each(Host.cleanup)

  local function refused(options)
    local code, _, err = Host.try { config = config(options) }
    assert.equal(1, code)
    return err
  end

  it("stops the start and is named, with what to do", function()
    assert.truthy(refused({ path = "" }):find("path", 1, true))
    local parent = folder .. "/missing/store"
    local err = refused { path = parent }
    assert.truthy(err:find(parent .. ": cannot be made: No such file", 1, true), err)
    Host.write(folder .. "/store", "a file")
    assert.truthy(refused():find(folder .. "/store/owner: Not a directory", 1, true))
  end)

  it("is one that another host uses", function()
    start()
    local err = refused()
    assert.truthy(err:find(folder .. "/store: another host uses it", 1, true), err)
    host:stop()
  end)

  it("holds a file that is damaged, cut off or no database", function()
    start()
    local c = client "a"
    c:subscribe("fill", 1)
    local pub = client("pub", { clean = true, props = {} })
    for _ = 1, 50 do pub:publish("fill", ("x"):rep(20000), { qos = 1 }) end
    kill()
    local file = folder .. "/store/data.mdb"
    local whole = Host.read(file)
    Host.write(file, whole:sub(1, #whole // 3))
    local err = refused()
    assert.truthy(err:find(file .. ": damaged, or no file of LMDB's", 1, true), err)
    assert.equal(#whole // 3, #Host.read(file))
    Host.write(file, ("garbage "):rep(2000))
    err = refused()
    assert.truthy(err:find("restore a copy of the folder, or move it away", 1, true), err)
    Host.write(file, whole)
    start()
    assert.is_true(client("a").connack.present)
    host:stop()
  end)

  it("was written in another format", function()
    start()
    kill()
    local file = folder .. "/store/data.mdb"
    local text, n = Host.read(file):gsub("format1", "format9")
    assert.is_true(n > 0)
    Host.write(file, text)
    local err = refused()
    assert.truthy(err:find(folder .. "/store: its format is not 1", 1, true), err)
  end)
end)

describe("a config that names a store", function()
  after_each(Host.cleanup)

  it("is refused when no plugin brings it", function()
    local code, _, err = Host.try { config = { store = "lmbd" } }
    assert.equal(1, code)
    assert.truthy(err:find("no plugin that was loaded offers the store 'lmbd'", 1, true), err)
    code, _, err = Host.try { config = { store = { plugin = "mqtt" } } }
    assert.equal(1, code)
    assert.truthy(err:find("its plugin offers no store", 1, true), err)
    code, _, err = Host.try { config = { store = { path = "/tmp/x" } } }
    assert.equal(1, code)
    assert.truthy(err:find('{ plugin = "…", its options }', 1, true), err)
    code, _, err = Host.try { config = { store = { plugin = "lmdb", path = "x", mapsize = 1 } } }
    assert.equal(1, code)
    assert.truthy(err:find("did you mean 'map_size'?", 1, true), err)
  end)
end)
