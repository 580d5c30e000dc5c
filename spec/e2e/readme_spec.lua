-- SPDX-License-Identifier: Apache-2.0
-- The README's tour, run as it is typed. Its blocks are marked `<!-- tour: name -->`; only what
-- a test may not take is replaced: the default ports, the build's folder, the scaffold's place.
local Host = require "support.host"

local function blocks(host)
  local text, found = Host.read "README.md", {}
  text = text:gsub("%f[%d]1883%f[%D]", host.ports.mqtt):gsub("%f[%d]5023%f[%D]", host.ports.gt06)
    :gsub("build/release", Host.build):gsub("/tmp/acme", host.folder .. "/acme")
  for name, code in text:gmatch "<!%-%- tour: (%w+) %-%->\n```sh\n(.-)```" do found[name] = code end
  return found
end

describe("the README's tour", function()
  after_each(Host.cleanup)

  it("works as typed", function()
    local host = Host.start {}
    local tour = blocks(host)
    local function shell(...)
      local code = { "exec 2>&1" }
      for _, name in ipairs { ... } do code[#code + 1] = assert(tour[name], "no block " .. name) end
      code[#code + 1] = "read -r _" -- a terminal stays open
      return Host.spawn("bash", { "-c", table.concat(code, "\n") }, { env = host:cli_env() })
    end
    local function says(name, pattern)
      local child = shell(name)
      child:wait()
      assert.matches(pattern, table.concat(child.out, "\n"))
    end

    local watch = Host.spawn("bash", { "-c", "exec " .. tour.watch })
    Host.eventually(function()
      local _, topics = host:api("GET", "/api/v1/topics")
      return #topics.items > 0
    end, "the subscription")
    local tracker = shell("tracker", "receive")
    assert.matches("78 78 05 01 00 01 d9 dc 0d 0a", tracker:line "78")
    assert.matches('"latitude":31.2304,"longitude":121.4737', watch:line "/location")
    says("command", "^$")
    assert.matches("S   T   A   T   U   S   #", tracker:line "S   T")
    says("ask", "860000012345678 .*gt06/860000012345678/down.*latitude +31.2304")
    says("adapter", "passed")
    says("reload", "gt06 +1.0.0 +2 +live")
    tracker:wait()
    watch:kill "sigterm"
    watch:wait()
    host:stop()
  end)
end)
