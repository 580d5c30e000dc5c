-- SPDX-License-Identifier: Apache-2.0
-- Clients that others wrote: mosquitto's, Paho's and mqtt.js.
local Host = require "support.host"
local Mqtt = require "support.mqtt"

local host

local function client(options) return Mqtt.connect(host.ports.mqtt, options) end

local function pub(...)
  return Host.run("mosquitto_pub", { "-p", host.ports.mqtt, ... })
end

local function get(...)
  return Host.run("mosquitto_sub", { "-p", host.ports.mqtt, ... })
end

-- mosquitto_sub is subscribed once it says so.
local function sub(...)
  local child = Host.spawn("stdbuf", { "-oL", "mosquitto_sub", "-d", "-p", host.ports.mqtt, ... })
  child:line "Subscribed"
  return child
end

describe("mosquitto's clients", function()
  setup(function() host = Host.start {} end)
  teardown(function() host:stop() Host.cleanup() end)

  for _, version in ipairs { "mqttv31", "mqttv311", "mqttv5" } do
    it(("publish and subscribe with every QoS, %s"):format(version), function()
      local s = sub("-V", version, "-t", "m/#", "-q", "2", "-C", "3", "-F", "%t %q %p")
      for qos = 0, 2 do
        local code = pub("-V", version, "-t", "m/" .. qos, "-q", qos, "-m", "hello " .. qos)
        assert.equal(0, code)
      end
      for qos = 0, 2 do s:line(("^m/%d %d hello %d$"):format(qos, qos, qos)) end
      assert.equal(0, (s:wait()))
    end)
  end

  it("see retained messages and clear them", function()
    pub("-t", "kept", "-m", "here", "-r", "-q", "1")
    local code, out = get("-t", "kept", "-C", "1", "-F", "%r %p")
    assert.equal(0, code)
    assert.equal("1 here\n", out)
    pub("-t", "kept", "-n", "-r", "-q", "1")
    code = get("-t", "kept", "-C", "1", "-W", "1")
    assert.equal(27, code) -- its time-out
  end)

  it("leave a will when they are killed", function()
    local s = sub("-t", "will", "-C", "1")
    local dying = sub("-t", "x", "--will-topic", "will", "--will-payload", "dead")
    dying:kill "sigkill"
    dying:wait()
    s:line "^dead$"
    assert.equal(0, (s:wait()))
  end)

  it("get what a session kept for them", function()
    local args = { "-i", "keeper", "-c", "-q", "1", "-t", "keep", "-V", "mqttv311", "-C", "5" }
    local first = sub(table.unpack(args))
    first:kill "sigterm"
    first:wait()
    for i = 1, 5 do pub("-t", "keep", "-q", "1", "-m", i) end
    local code, out = get(table.unpack(args))
    assert.equal(0, code)
    assert.equal("1\n2\n3\n4\n5\n", out)
  end)

  it("ask and are answered", function()
    local server = client { id = "server" }
    server:subscribe("ask", 1)
    local child = Host.spawn("mosquitto_rr", { "-p", host.ports.mqtt, "-V", "mqttv5", "-t", "ask",
      "-e", "answer", "-m", "question", "-q", "1" })
    local m = server:receive()
    assert.equal("question", m.payload)
    server:publish(m.props.response_topic, "yes",
      { qos = 1, props = { correlation = m.props.correlation } })
    assert.equal(0, (child:wait()))
    assert.equal("yes", child.out[1])
    server:disconnect()
  end)

  it("take what exceeds every small buffer", function()
    local path = host.folder .. "/large"
    Host.write(path, ("0123456789"):rep(100000))
    local s = sub("-t", "large", "-C", "1", "-q", "1", "-F", "%l")
    assert.equal(0, (pub("-t", "large", "-f", path, "-q", "1")))
    s:line "^1000000$"
    assert.equal(0, (s:wait()))
  end)
end)

describe("Paho", function()
  setup(function() host = Host.start {} end)
  teardown(function() host:stop() Host.cleanup() end)

  it("is served in every version it speaks [3.1.1: 7.0.0-2]", function()
    local args = { "spec/e2e/mqtt_paho.py", host.ports.mqtt }
    local code, out, err = Host.run("/usr/bin/python3", args, { ms = 300000 })
    assert.equal(0, code, err)
    assert.equal("everyday v31\nsession v31\neveryday v311\nsession v311\neveryday v5\nsession v5\n"
      .. "properties\nwill\n", out)
  end)
end)

describe("mqtt.js", function()
  setup(function() host = Host.start {} end)
  teardown(function() host:stop() Host.cleanup() end)

  it("is served in every version it speaks [3.1.1: 7.0.0-2]", function()
    local code, out, err = Host.run("node", { "spec/e2e/mqtt_js.js", host.ports.mqtt },
      { ms = 300000, env = { NODE_PATH = "/usr/share/nodejs" } })
    assert.equal(0, code, err)
    assert.equal("everyday 4\nsession 4\nwill 4\neveryday 5\nsession 5\nwill 5\nproperties\n", out)
  end)
end)

describe("users", function()
  setup(function()
    host = Host.start { config = {
      users = {
        { user = "ann", password = "secret" },
        { user = "bob", password = "hidden", publish = { "bob/#", "${client_id}/up" },
          subscribe = { "bob/#" } },
      },
      listeners = {
        { name = "mqtt", adapter = "mqtt" },
        { name = "open", adapter = "mqtt", anonymous = true },
      },
    } }
  end)
  teardown(function() host:stop() Host.cleanup() end)

  it("come in with their password and with nothing else [5.0: 3.1.4-2]", function()
    assert.equal(0, (pub("-u", "ann", "-P", "secret", "-t", "t", "-m", "x")))
    for _, version in ipairs { "mqttv311", "mqttv5" } do
      assert.not_equal(0, (pub("-V", version, "-u", "ann", "-P", "wrong", "-t", "t", "-m", "x")))
      assert.not_equal(0, (pub("-V", version, "-u", "eve", "-P", "secret", "-t", "t", "-m", "x")))
      assert.not_equal(0, (pub("-V", version, "-t", "t", "-m", "x")))
    end
    local refused = client { id = "c", user = "ann", password = "wrong", refused = true }
    assert.equal(0x86, refused.connack.reason)
    refused:closed()
    refused = client { id = "c", refused = true }
    assert.equal(0x87, refused.connack.reason)
    refused:closed()
    refused = client { id = "c", version = 4, refused = true }
    assert.equal(5, refused.connack.reason)
    refused:closed()
  end)

  it("are not needed where the listener says so", function()
    local c = Mqtt.connect(host.ports.open, { id = "c" })
    c:disconnect()
  end)

  it("may do what their lists allow [3.1.1: 3.3.5-2]", function()
    local five = client { id = "b5", user = "bob", password = "hidden" }
    local four = client { id = "b4", version = 4, user = "bob", password = "hidden" }
    assert.same({ 1, 0x87, 0x87 }, five:subscribe { { "bob/x", 1 }, { "ann/x", 1 }, { "#", 1 } })
    assert.same({ 0x80 }, four:subscribe("ann/x", 1))
    assert.equal(0x87, five:publish("ann/x", "x", { qos = 1 }).reason)
    assert.equal(0x87, five:publish("ann/x", "x", { qos = 2 }).reason)
    assert.equal(0x10, five:publish("b5/up", "x", { qos = 1 }).reason)
    assert.equal(0x87, five:publish("b4/up", "x", { qos = 1 }).reason)
    local ann = client { id = "a", user = "ann", password = "secret" }
    ann:subscribe("#", 1)
    four:publish("ann/x", "denied", { qos = 1 }) -- acknowledged, as 3.1.1 has no other word
    four:publish("bob/x", "allowed", { qos = 1 })
    assert.equal("allowed", ann:receive().payload)
    local will = { topic = "ann/will", payload = "x" }
    local refused = client { id = "w", user = "bob", password = "hidden",
      will = will, refused = true }
    assert.equal(0x87, refused.connack.reason)
    for _, c in ipairs { five, four, ann } do c:drop() end
  end)
end)
