-- SPDX-License-Identifier: Apache-2.0
-- The guide: every command of the adapter has an example in it, each works as it is typed, and
-- every option stands in its table.
local cjson = require "cjson"
local Host = require "support.host"
local offline = require "support.offline"
local terminal = dofile "spec/protocols/jt808/terminal.lua"

local DEVICE = "013800138000"

local function guide()
  local file = assert(io.open "docs/protocols/jt808.md")
  local text = file:read "a"
  file:close()
  return text
end

local function examples()
  local out = {}
  for line in guide():gmatch "[^\n]+" do
    if line:find '^{"command": ' then out[#out + 1] = line end
  end
  return out
end

--- For each example the events of its delivery.
local function try(all, v2019)
  local login = v2019 and "\4code" .. ("i"):rep(15) .. ("v"):rep(20) or "code"
  local commands, out = {}, {}
  for i, example in ipairs(all) do
    table.move({ 'open {"allow":["*"]}', "connect 192.0.2.1:5000",
      "feed 1 " .. terminal.hex(terminal.frame(0x0102, login, { v2019 = v2019 })),
      ("deliver %s jt808/%s/down 1 %s"):format(DEVICE, DEVICE, example) }, 1, 4, 4 * i - 3,
      commands)
  end
  local blocks = offline.run("protocols/jt808", commands)
  for i in ipairs(all) do out[i] = blocks[4 * i] end
  return out
end

describe("the guide to jt808", function()
  it("has examples that work as typed, for terminals of both headers", function()
    local all = examples()
    assert.is_true(#all > 50)
    for _, v2019 in ipairs { false, true } do
      for i, events in ipairs(try(all, v2019)) do
        local fate, frame = terminal.published(events)[1][2], terminal.sent(events)[1]
        assert.equal("sent", fate.state, all[i] .. " " .. tostring(fate.reason))
        assert.equal(tonumber(fate.message_id), frame.id, all[i])
      end
    end
  end)

  it("has every command", function()
    local here = {}
    for _, example in ipairs(examples()) do here[cjson.decode(example).command] = true end
    local names = dofile "protocols/jt808/names.lua"
    for id in pairs(names.messages) do
      -- answers are no commands
      local answers = { [0x8001] = true, [0x8003] = true, [0x8004] = true, [0x8100] = true,
        [0x8109] = true, [0x8800] = true, [0x9212] = true }
      if id >= 0x8000 and not answers[id] then
        assert.truthy(guide():find(("| 0x%04X |"):format(id), 1, true), ("0x%04X"):format(id))
      end
    end
    assert.is_true(here.send and here.vehicle_control)
  end)

  it("has every option", function()
    local text = guide()
    for name in pairs(dofile "protocols/jt808/options.lua") do
      assert.truthy(text:find("\n| `" .. name .. "` |", 1, true), name)
    end
  end)

  describe("in a shell", function()
    local host, conn
    after_each(Host.cleanup)

    --- Its lines for a shell, with this host's ports and program.
    local function lines(of)
      local out = {}
      for block in guide():gmatch "```sh\n(.-)```" do
        for line in block:gmatch "[^\n]+" do
          if line:find(of) then
            line = line:gsub("^tidegate", Host.binary)
              :gsub("^mosquitto_pub", "%0 -p " .. host.ports.mqtt)
              :gsub("%-%-port 7611", "--port " .. host.ports.datagrams)
              :gsub("sim jt808 %-%-dev", ("sim jt808 --port %d --dev"):format(host.ports.jt808))
              :gsub("10s", "3s")
            out[#out + 1] = line
          end
        end
      end
      return out
    end

    before_each(function()
      host = Host.start { config = {
        plugins = { mqtt = {}, jt808 = {} },
        listeners = {
          { name = "mqtt", adapter = "mqtt", anonymous = true },
          { name = "jt808", adapter = "jt808", anonymous = true },
          { name = "datagrams", adapter = "jt808", transport = "udp", anonymous = true },
        },
      } }
      conn = Host.connect(host.ports.jt808)
    end)

    local function hear()
      Host.await(function() return select(2, conn.data:gsub("~", "")) >= 2 end, "a frame")
      local frame = terminal.read(conn.data)[1]
      conn.data = ""
      return frame
    end

    local ANSWERS = {
      [0x8201] = function(serial)
        return 0x0201, string.pack(">I2", serial) .. terminal.POSITION
      end,
      [0x8106] = function(serial)
        return 0x0104, string.pack(">I2BI4BI4", serial, 1, 1, 4, 60)
      end,
    }

    it("has commands that reach a terminal, and tells their fate", function()
      conn:send(terminal.frame(0x0102, "code", { serial = 0 }))
      assert.equal(0, terminal.answer(hear())[3])
      local sub = Host.spawn("mosquitto_sub", { "-p", host.ports.mqtt, "-t", "jt808/+/command" })
      Host.eventually(function()
        local _, topics = host:api("GET", "/api/v1/topics")
        for _, item in ipairs(topics.items) do
          if item.filter == "jt808/+/command" then return true end
        end
      end, "the subscription")
      local all = lines(DEVICE)
      assert.equal(4, #all)
      for i, line in ipairs(all) do
        local shell = Host.spawn("bash", { "-c", line }, { env = host:cli_env() })
        local ask = hear()
        local id, body = ANSWERS[ask.id](ask.serial)
        conn:send(terminal.frame(id, body, { serial = i }))
        assert.equal(0, (shell:wait()), line)
        local fate = cjson.decode(sub:line '"state":"acked"')
        assert.equal("job-17", fate.id)
      end
      sub:kill "sigterm"
      sub:wait()
      conn:close()
      host:stop()
    end)

    it("has terminals to try it with", function()
      conn:close()
      local all = lines "sim jt808"
      assert.equal(2, #all)
      for _, line in ipairs(all) do
        local code, out = Host.run("bash", { "-c", line .. " --json" })
        assert.equal(0, code, line)
        local report = cjson.decode(out)
        assert.is_true(report.logins > 0 and report.acked > 0, out)
      end
      host:stop()
    end)
  end)
end)
