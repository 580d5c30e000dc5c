-- SPDX-License-Identifier: Apache-2.0
-- Many devices at once: 10,000 held, and a host that runs out of descriptors while they come.
local Host = require "support.host"
local Tracker = require "support.tracker"
local uv = require "luv"

--- Opens `n` connections to `port`, `burst` at a time. @return them, and how many failed
local function connect_many(port, n, burst)
  local conns, failed, under_way, opened = {}, 0, 0, 0
  local function open_next()
    while opened < n and under_way < burst do
      opened, under_way = opened + 1, under_way + 1
      local tcp = uv.new_tcp()
      tcp:connect("127.0.0.1", port, function(err)
        under_way = under_way - 1
        if err then
          failed = failed + 1
          tcp:close()
        else
          conns[#conns + 1] = tcp
        end
      end)
    end
    return opened == n and under_way == 0
  end
  Host.await(open_next, n .. " connections")
  return conns, failed
end

local function close_all(conns)
  for _, tcp in ipairs(conns) do
    if not tcp:is_closing() then tcp:close() end
  end
  uv.run "nowait"
end

describe("a crowd", function()
  after_each(Host.cleanup)

  it("of 10,000 connections is held and served", function()
    local host = Host.start { config = { listeners = {
      { name = "gt06", adapter = "gt06", anonymous = true, limits = { first_frame = "5m" } },
    }, plugins = { gt06 = {} } } }
    local conns, failed = connect_many(host.ports.gt06, 9900, 200)
    assert.equal(0, failed)
    local trackers = {}
    for i = 1, 100 do
      trackers[i] = Tracker.connect(host.ports.gt06, ("8600000000%05d"):format(i)):login()
    end
    Host.eventually(function() return host:metric "tidegate_net_connections" == 10000 end,
      "those that wait in the listener's queue to be taken") -- and none that came has gone
    for _, tracker in ipairs(trackers) do tracker:report(50):beat():close() end
    close_all(conns)
    Host.eventually(function() return host:metric "tidegate_net_connections" == 0 end,
      "no connections")
    host:stop()
  end)

  it("larger than the descriptors waits, is told once, and the API still answers", function()
    local began = uv.hrtime()
    local wrapper = Host.write(Host.folder() .. "/few.sh",
      "#!/bin/sh\nulimit -n 200\nexec " .. Host.binary .. ' "$@"\n')
    uv.fs_chmod(wrapper, tonumber("700", 8))
    local host = Host.start { binary = wrapper, config = { workers = 1, listeners = {
      { name = "gt06", adapter = "gt06", anonymous = true, limits = { first_frame = "5m" } },
    }, plugins = { gt06 = {} } } }
    local conns, failed = connect_many(host.ports.gt06, 300, 300)
    assert.equal(0, failed)
    host:log_line "descriptors"
    local status = host:api("GET", "/api/v1/status")
    assert.equal(200, status)
    local held = host:metric "tidegate_net_connections"
    assert.is_true(held > 100 and held < 200, "held " .. held)
    close_all(conns)
    Host.eventually(function() return host:metric "tidegate_net_connections" == 0 end,
      "the waiting ones to be taken and gone")
    Tracker.connect(host.ports.gt06, "860000000000001"):login():close()
    local log, paused, refused = host:stop(), 0, 0
    for _, line in ipairs(log) do
      if line:find "accepting pauses" then paused = paused + 1 end
      if line:find "connection refused" then refused = refused + 1 end
    end
    local minutes = 1 + (uv.hrtime() - began) // 60000000000
    assert.is_true(paused >= 1 and paused <= minutes, paused .. " lines about descriptors")
    assert.is_true(refused <= 10 * minutes, refused .. " lines about who was refused")
  end)
end)
