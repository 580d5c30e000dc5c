-- SPDX-License-Identifier: Apache-2.0
-- A command that is published for a device that is away has a fate as well, under its sender's
-- id: it is queued, and then it is sent and answered when the device comes, or it expires.
local cjson = require "cjson"
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local Tracker = require "support.tracker"
local terminal = dofile "spec/protocols/jt808/terminal.lua"
local vectors = dofile "spec/protocols/gbt32960/vectors.lua"

local IMEI, PHONE, VIN = "353419037123456", "013800138000", "LTEST000000009016"

local host, app

local function frame_32960(...) return vectors.unhex(vectors.frame(...)) end

--- A device of each adapter: how it comes, and a command that it is asked for and answers.
local KINDS = {
  gt06 = {
    id = IMEI, key = "correlation_id", done = "replied",
    options = { session_expiry = "1h" },
    command = { command = "status" }, text = "STATUS#",
    come = function() return Tracker.connect(host.ports.gt06, IMEI):login() end,
    answer = function(t)
      local text, flag = t:command()
      assert.equal("STATUS#", text)
      t:answer(flag, "fine")
    end,
  },
  jt808 = {
    id = PHONE, key = "id", done = "acked",
    options = {},
    command = { command = "check_link" },
    come = function()
      local conn = Host.connect(host.ports.jt808)
      conn:send(terminal.frame(0x0102, "code", { serial = 0 }))
      return conn
    end,
    answer = function(conn)
      local asked
      Host.await(function()
        for _, f in ipairs(terminal.read(conn.data)) do
          if f.id == 0x8204 then asked = f end
        end
        return asked
      end, "the command")
      conn:send(terminal.frame(0x0001, string.pack(">I2I2B", asked.serial, 0x8204, 0),
        { serial = 1 }))
    end,
  },
  gbt32960 = {
    id = VIN, key = "correlation_id", done = "acked",
    options = { session_expiry = "1h" },
    command = { command = "query", args = { ids = { "heartbeat_period_s" } } },
    come = function()
      local conn = Host.connect(host.ports.gbt32960)
      conn:send(vectors.unhex(vectors.login("##", VIN, 1)))
      conn:expect(frame_32960("##", 1, 1, VIN, vectors.TIME))
      return conn
    end,
    answer = function(conn)
      local head = conn:read(24)
      conn:read(string.unpack(">I2", head, 23) + 1)
      assert.equal(0x80, head:byte(3))
      conn:send(frame_32960("##", 0x80, 1, VIN, vectors.TIME .. "\1\3\0\10"))
    end,
  },
}

--- The next that is told; the acknowledgements of what was published lie between.
local function fate()
  while true do
    local packet = app:read()
    if packet.type == "PUBLISH" then return cjson.decode(packet.payload) end
  end
end

--- The next, which has one shape whether the device is there or not.
local function fate_of(kind)
  local told = fate()
  assert.same({ kind.command.command, kind.text }, { told.command, told.text })
  return told
end

local function device(id)
  local status, d = host:api("GET", "/api/v1/devices/" .. id)
  return status == 200 and d or nil
end

for name, kind in pairs(KINDS) do
  describe("a " .. name .. " device that is away", function()
    setup(function()
      host = Host.start { config = { workers = 2, plugins = { mqtt = {}, [name] = kind.options },
        listeners = {
          { name = "mqtt", adapter = "mqtt", anonymous = true },
          { name = name, adapter = name, anonymous = true },
        } } }
      app = Mqtt.connect(host.ports.mqtt, { id = "app" })
      app:subscribe(name .. "/+/command", 0)
    end)
    teardown(function()
      app:disconnect()
      host:stop()
      Host.cleanup()
    end)

    local function publish(id, props)
      local text = cjson.encode {
        command = kind.command.command, args = kind.command.args, id = id,
      }
      app:send(Mqtt.wire.publish(5, name .. "/" .. kind.id .. "/down", text,
        { props = props, qos = 1, packet_id = app:packet_id() }))
    end

    local function leave(conn)
      conn:close()
      Host.eventually(function() return not device(kind.id).connected end, "it to be away")
    end

    it("gets its commands later, or they expire, and the sender is told", function()
      local conn = kind.come()
      Host.eventually(function() return device(kind.id) end, "the device")
      leave(conn)
      publish "job-1"
      local queued = fate_of(kind)
      assert.same({ "queued", "job-1" }, { queued.state, queued[kind.key] })
      conn = kind.come()
      local sent = fate_of(kind)
      assert.same({ "sent", "job-1" }, { sent.state, sent[kind.key] })
      kind.answer(conn)
      local done = fate_of(kind)
      assert.same({ kind.done, "job-1" }, { done.state, done[kind.key] })
      leave(conn)
      publish("job-2", { message_expiry = 1 })
      for _, state in ipairs { "queued", "expired" } do
        local told = fate_of(kind)
        assert.same({ state, "job-2" }, { told.state, told[kind.key] })
      end
      Host.eventually(function() return device(kind.id).queued == 0 end, "an empty queue")
    end)
  end)
end
