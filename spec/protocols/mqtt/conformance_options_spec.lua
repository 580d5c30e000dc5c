-- SPDX-License-Identifier: Apache-2.0
-- What MQTT 5 added to SUBSCRIBE, statement by statement: its options, subscription
-- identifiers, and shared subscriptions.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local wire = Mqtt.wire

local host

local function client(id, more) return Mqtt.connect(host.ports.mqtt, { id = id }, more) end

local KEPT = { clean = false, props = { session_expiry = 100 } }
local NO_LOCAL, AS_PUBLISHED, IF_NEW, NEVER = 0x04, 0x08, 0x10, 0x20

describe("MQTT 5.0 SUBSCRIBE", function()
  local c, pub

  setup(function() host = Host.start {} end)
  teardown(function() host:stop() Host.cleanup() end)
  before_each(function() c, pub = client "c", client "pub" end)
  after_each(function()
    c:drop()
    pub:drop()
  end)

  it("with no local brings nothing of one's own [5.0: 3.8.3-3]", function()
    c:subscribe("local", 1 | NO_LOCAL)
    for qos = 0, 2 do c:publish("local", "mine", { qos = qos }) end
    pub:publish("local", "theirs", { qos = 1 })
    assert.equal("theirs", c:receive().payload)
    assert.same({}, c:settle())
    c:subscribe("local", 1) -- it is the option that kept it back
    c:send(wire.publish(5, "local", "mine"))
    assert.equal("mine", c:receive().payload)
  end)

  it("with no local brings nothing of one's own that is retained [5.0: 3.8.3-3]", function()
    c:publish("local/mine", "mine", { qos = 1, retain = true })
    pub:publish("local/theirs", "theirs", { qos = 1, retain = true })
    c:subscribe("local/#", 1 | NO_LOCAL)
    assert.equal("theirs", c:receive().payload)
    assert.same({}, c:settle())
    c:unsubscribe "local/#"
    c:subscribe("local/mine", 1)
    assert.equal("mine", c:receive().payload)
    c:unsubscribe "local/mine"
    for _, topic in ipairs { "mine", "theirs" } do
      pub:publish("local/" .. topic, "", { qos = 1, retain = true })
    end
  end)

  it("forwards RETAIN as it was, if asked to [5.0: 3.3.1-12, 3.3.1-13]", function()
    c:subscribe { { "rap/+", AS_PUBLISHED | NEVER } }
    local other = client "other"
    other:subscribe { { "rap/+", NEVER } }
    for _, retain in ipairs { true, false } do
      pub:publish("rap/x", "x", { qos = 1, retain = retain })
      assert.equal(retain, c:receive().retain)
      assert.is_false(other:receive().retain)
    end
    other:disconnect()
    pub:publish("rap/x", "", { qos = 1, retain = true })
  end)

  it("sends retained messages as its retain handling says "
    .. "[5.0: 3.3.1-9, 3.3.1-10, 3.3.1-11, 3.8.4-4]", function()
    local topics = { ["rh/1"] = true, ["rh/2"] = true }
    for topic in pairs(topics) do pub:publish(topic, "kept", { qos = 1, retain = true }) end
    pub:publish("last", "kept", { qos = 1, retain = true })
    c:subscribe("last", 0)
    assert.equal("last", c:receive().topic)
    local function comes(options) -- before the one that is subscribed again behind it
      c:subscribe { { "rh/+", options }, { "last", 0 } }
      for n = 0, 3 do
        local m = c:receive()
        if m.topic == "last" then return n end
        assert.is_true(m.retain and topics[m.topic])
      end
    end
    assert.equal(0, comes(NEVER))
    assert.equal(0, comes(IF_NEW)) -- it is not new
    assert.equal(2, comes(0))
    assert.equal(2, comes(0))
    assert.equal(0, comes(NEVER))
    c:unsubscribe "rh/+"
    assert.equal(2, comes(IF_NEW))
    assert.equal(0, comes(IF_NEW))
    topics.last = true
    for topic in pairs(topics) do pub:publish(topic, "", { qos = 1, retain = true }) end
  end)

  it("with identifiers names each that matches [5.0: 3.3.4-3, 3.3.4-4]", function()
    c:subscribe({ { "id/#", 0 } }, nil, { sub_id = 1 })
    c:subscribe({ { "id/+", 1 } }, nil, { sub_id = 268435455 })
    c:subscribe { { "id/x", 2 } } -- without
    c:subscribe({ { "id/other", 2 } }, nil, { sub_id = 7 })
    pub:publish("id/x", "x", { qos = 2 })
    local m = c:receive()
    table.sort(m.props.sub_ids)
    assert.same({ 1, 268435455 }, m.props.sub_ids)
    assert.equal(2, m.qos)
    assert.same({}, c:settle()) -- one copy
    c:subscribe({ { "id/+", 1 } }, nil, { sub_id = 9 }) -- replaces it
    pub:publish("id/y", "y", { qos = 2 })
    m = c:receive()
    table.sort(m.props.sub_ids)
    assert.same({ 1, 9 }, m.props.sub_ids)
    c:subscribe { { "id/+", 1 } }
    pub:publish("id/y", "y")
    assert.same({ 1 }, c:receive().props.sub_ids)
  end)

  it("with an identifier names it with retained messages, too [5.0: 3.3.4-3]", function()
    pub:publish("kept/id", "kept", { qos = 1, retain = true })
    c:subscribe({ { "kept/+", 1 } }, nil, { sub_id = 300 })
    local m = c:receive()
    assert.same({ "kept", true, 300 }, { m.payload, m.retain, m.props.sub_ids[1] })
    c:subscribe({ { "$share/g/kept/id", 1 }, { "last", 0 } }) -- to a shared one they do not come
    assert.same({}, c:settle())
    pub:publish("kept/id", "", { qos = 1, retain = true })
  end)

  it("with a filter twice keeps the last of them [5.0: 3.8.4-3, 3.8.4-5]", function()
    assert.same({ 2, 0 }, c:subscribe { { "twice", 2 }, { "twice", 0 } })
    pub:publish("twice", "x", { qos = 2 })
    assert.equal(0, c:receive().qos)
    assert.same({}, c:settle())
    assert.same({ 0, 0x11 }, c:unsubscribe("twice", "twice"))
  end)

  it("and UNSUBSCRIBE tell shared filters from plain ones [5.0: 3.10.4-1]", function()
    c:subscribe { { "both", 1 }, { "$share/g/both", 1 } }
    assert.same({ 0x11, 0 }, c:unsubscribe("$share/h/both", "both"))
    pub:publish("both", "shared", { qos = 1 })
    assert.equal("shared", c:receive().payload)
    assert.same({}, c:settle())
    assert.same({ 0 }, c:unsubscribe "$share/g/both")
    pub:publish("both", "none", { qos = 1 })
    assert.same({}, c:settle())
  end)

  it("takes a shared filter by its form [5.0: 4.8.2-1, 4.8.2-2]", function()
    for _, filter in ipairs { "$share/g", "$share/", "$share//t", "$share/g/", "$share/g+/t",
      "$share/#/t", "$share/+/t", "$share/g#/t", "$share/g/t#", "$share/g/#/t" } do
      assert.same({ 0x8F }, c:subscribe(filter, 1), filter)
    end
    assert.same({ 1, 1, 1 }, c:subscribe { { "$share/g/t", 1 }, { "$share/g 2/#", 1 },
      { "$share/g/+/t", 1 } })
  end)

  it("refuses no local on a shared filter [5.0: 3.8.3-4]", function()
    c:send(wire.subscribe(5, 1, { { "$share/g/t", 1 | NO_LOCAL } }))
    c:dismissed(0x82)
  end)
end)

describe("MQTT 5.0 shared subscriptions", function()
  local pub

  setup(function() host = Host.start { config = { workers = 1 } } end)
  teardown(function() host:stop() Host.cleanup() end)
  before_each(function() pub = client "pub" end)
  after_each(function() pub:drop() end)

  -- Members a and b of a group; `first` is who gets the next message, which is sent.
  local function group(name)
    local members = { a = client(name .. "a", KEPT), b = client(name .. "b", KEPT) }
    for _, m in pairs(members) do m:subscribe("$share/g/" .. name, 2) end
    return members
  end

  local function deliver(members, name)
    pub:publish(name, "x", { qos = 2 })
    local taken = {}
    Host.eventually(function()
      for key, m in pairs(members) do
        for _, p in ipairs(m:settle()) do taken[#taken + 1] = { key, p } end
      end
      return #taken > 0
    end, "a member to get it")
    assert.equal(1, #taken)
    return taken[1][1], taken[1][2]
  end

  local function finish(members, name)
    for key, m in pairs(members) do
      m:drop()
      client(name .. key):disconnect()
    end
  end

  it("keep to the QoS granted to each member [5.0: 4.8.2-3]", function()
    local members = {}
    for qos = 0, 2 do
      members[qos] = client("qos" .. qos)
      members[qos]:subscribe("$share/q/qos", qos)
    end
    local total = 0
    for _ = 1, 12 do pub:publish("qos", "x", { qos = 2 }) end
    for qos = 0, 2 do
      for _, p in ipairs(members[qos]:settle()) do
        assert.equal(qos, p.qos)
        total = total + 1
      end
    end
    assert.equal(12, total)
    for qos = 0, 2 do members[qos]:drop() end
  end)

  it("finish a QoS 2 message with the member that began it [5.0: 4.8.2-4]", function()
    local members = group "back"
    local who, m = deliver(members, "back")
    members[who]:drop()
    local other = members[who == "a" and "b" or "a"]
    assert.same({}, other:settle())
    members[who] = client("back" .. who, KEPT)
    local again = members[who]:read "PUBLISH"
    assert.same({ m.packet_id, true }, { again.packet_id, again.dup })
    members[who]:send(wire.ack("PUBREC", m.packet_id))
    members[who]:read "PUBREL"
    members[who]:send(wire.ack("PUBCOMP", m.packet_id))
    assert.same({}, other:settle())
    finish(members, "back")
  end)

  it("give it to nobody else when that session ends [5.0: 4.8.2-5]", function()
    local members = group "ends"
    local who = deliver(members, "ends")
    local other = members[who == "a" and "b" or "a"]
    members[who]:disconnect(0, { session_expiry = 0 })
    members[who] = nil
    assert.same({}, other:settle())
    pub:publish("ends", "next", { qos = 2 }) -- that one gets the next
    assert.equal("next", other:receive().payload)
    finish(members, "ends")
  end)

  it("give what a member refused to nobody else [5.0: 4.8.2-6]", function()
    local members = group "no"
    for _ = 1, 4 do
      local who, m = deliver(members, "no")
      members[who]:send(wire.ack("PUBREC", m.packet_id, 0x83))
      for _, member in pairs(members) do assert.same({}, member:settle()) end
    end
    finish(members, "no")
  end)
end)
