-- SPDX-License-Identifier: Apache-2.0
-- Links to upper platforms beside the plain one: both editions, several platforms, a host that is
-- killed between a frame and its acknowledgement, a dial that cannot begin.
local Host = require "support.host"
local upper = dofile "spec/protocols/gbt32960/upper.lua"

local VIN, OTHER, PLATFORM = upper.VIN, upper.OTHER, upper.PLATFORM
local report, login, login_frame = upper.report, upper.login, upper.login_frame
local platform, host_a, counted = upper.platform, upper.host_a, upper.counted

local THIRD = "LTEST000000009018"

--- What a platform was told: logins as "5", reports as "2:7", those that were reissued as "3:7".
local function story(frames, from)
  local out = {}
  for i = from or 1, #frames do
    local cmd = frames[i]:byte(3)
    local report_of = cmd == 2 or cmd == 3
    out[#out + 1] = report_of and cmd .. ":" .. upper.number_of(frames[i]) or tostring(cmd)
  end
  return table.concat(out, " ")
end

describe("gbt32960 forwards both editions", function()
  before_each(function() upper.folder = Host.folder() end)
  after_each(upper.end_spec)

  it("on one link, each frame as it came, and reissues in the edition of the frame", function()
    local up = platform()
    local a = host_a(up.port, { edition = 2025 })
    local first = up.await(1)
    assert.equal("$$\5\xFE" .. PLATFORM .. "\1\0\41", first:sub(1, 24))
    assert.equal("\0\1operator\0\0\0\0secret" .. ("\0"):rep(14) .. "\1", first:sub(31, -2))
    local old = login(Host.connect(a.ports.gbt32960), VIN)
    up.await(2)
    local new = login(Host.connect(a.ports.gbt32960), OTHER, 1, "$$")
    up.await(3)
    old:send(report(VIN, 1) .. report(VIN, 2, "$$")) -- a terminal may speak both
    up.await(5)
    new:send(report(OTHER, 3, "$$"))
    up.await(6)
    assert.same({ login_frame(VIN), login_frame(OTHER, 1, "$$"), report(VIN, 1),
      report(VIN, 2, "$$"), report(OTHER, 3, "$$") }, table.move(up.frames, 2, 6, 1, {}))
    upper.awaits_empty(a)
    a.process:kill "sigkill"
    a.process:wait()

    up.hold = true -- what comes now is not on its link yet
    a = host_a(up.port, { edition = 2025 })
    old = login(Host.connect(a.ports.gbt32960), VIN, 2)
    new = login(Host.connect(a.ports.gbt32960), OTHER, 2, "$$")
    new:send(report(OTHER, 4, "$$"))
    upper.settle(new, OTHER)
    old:send(report(VIN, 5))
    upper.settle(old, VIN)
    Host.pass(20) -- times are in milliseconds: older than the link, not of the same moment
    up.release()
    upper.awaits_empty(a)
    local seen = {}
    for i = 7, #up.frames do seen[up.frames[i]] = true end
    assert.is_true(seen[report(OTHER, 4, "$$", 3)])
    assert.is_true(seen[report(VIN, 5, "##", 3)])
    assert.is_true(seen[login_frame(OTHER, 2, "$$")])
    assert.equal(2, counted(a, "reissued"))
    a:stop()
    assert.equal("$$\6\xFE", up.await(12):sub(1, 4))
  end)

  it("to another host, which tells them apart", function()
    local b = upper.host_b()
    local sub = upper.subscribe(b)
    local a = host_a(b.ports.gbt32960, { edition = 2025 })
    upper.awaits_up(a)
    assert.equal(2025, upper.message(sub, PLATFORM .. "/platform_login").edition)
    local old = login(Host.connect(a.ports.gbt32960), VIN)
    local new = login(Host.connect(a.ports.gbt32960), OTHER, 1, "$$")
    for n = 1, 20 do
      old:send(report(VIN, n))
      local of_old = upper.message(sub, VIN .. "/report")
      assert.same({ 2016, n }, { of_old.edition, upper.number_of(of_old) })
      new:send(report(OTHER, n, "$$"))
      local of_new = upper.message(sub, OTHER .. "/report")
      assert.same({ 2025, n }, { of_new.edition, upper.number_of(of_new) })
    end
    upper.awaits_empty(a)
    assert.equal(0, counted(a, "rejected"))
    a:stop()
    sub:kill "sigterm"
    sub:wait()
    b:stop()
  end)
end)

describe("gbt32960 between a frame and its acknowledgement", function()
  before_each(function() upper.folder = Host.folder() end)
  after_each(upper.end_spec)

  it("may be killed: all that had none is sent again, in order, as reissued", function()
    local answered = 0
    local up = platform(function(one)
      if one:byte(3) ~= 2 then return 1 end
      answered = answered + 1
      return answered <= 5 and 1 or nil
    end)
    local a = host_a(up.port, { window = 8 })
    upper.awaits_up(a)
    local car = login(Host.connect(a.ports.gbt32960), VIN)
    for n = 1, 12 do car:send(report(VIN, n)) end
    upper.settle(car, VIN)
    Host.await(function() return answered > 5 end, "a report without an answer")
    a.process:kill "sigkill"
    a.process:wait()
    Host.await(function() return up.conn:is_closing() end, "the end of what it sent")
    local told = #up.frames
    answered = -100
    a = host_a(up.port, { window = 8 })
    upper.awaits_empty(a)
    -- those of the last window may come twice, and then as reissued; none is missing
    local frames, number, again = up.frames, {}, false
    for i = 1, #frames do
      local cmd = frames[i]:byte(3)
      if cmd == 2 then
        assert.is_true(i <= told)
        number[#number + 1] = upper.number_of(frames[i])
      elseif cmd == 3 then
        assert.is_true(i > told)
        if not again then
          local n = upper.number_of(frames[i])
          assert.is_true(n >= 1 and n <= 6, "the first that had no answer") -- or shares its window
          again = n
        end
        number[#number + 1] = upper.number_of(frames[i])
      end
    end
    local most = 0
    for _, n in ipairs(number) do
      assert.is_true(n <= most + 1, story(frames))
      if n > most then most = n end
    end
    assert.equal(12, most)
    assert.matches("^5 1 3:" .. again, story(frames, told + 1)) -- both logins first
    a:stop()
  end)
end)

describe("gbt32960 with several upper platforms", function()
  before_each(function() upper.folder = Host.folder() end)
  after_each(upper.end_spec)

  it("tells each of its own vehicles, and one that is away holds up no other", function()
    local one, two, late = platform(), platform(), Host.free_port()
    local function link(name, port, vins)
      return upper.link(port, { name = name, vins = vins })
    end
    local a = host_a { link("one", one.port, { VIN, THIRD }), link("two", two.port, { "*17" }),
      link("all", late, { "*" }) } -- three on two workers
    upper.awaits_up(a, "one")
    upper.awaits_up(a, "two")
    local cars = {}
    for _, vin in ipairs { VIN, OTHER, THIRD } do
      cars[vin] = login(Host.connect(a.ports.gbt32960), vin)
      for n = 1, 5 do cars[vin]:send(report(vin, n)) end
      upper.settle(cars[vin], vin)
    end
    upper.awaits_empty(a, "one")
    upper.awaits_empty(a, "two")
    assert.equal("5 1 2:1 2:2 2:3 2:4 2:5 1 2:1 2:2 2:3 2:4 2:5", story(one.frames))
    assert.equal("5 1 2:1 2:2 2:3 2:4 2:5", story(two.frames))
    for i = 2, 7 do assert.equal(OTHER, two.frames[i]:sub(5, 21)) end
    assert.equal(18, upper.waiting(a, "all"))

    local all = platform(nil, late) -- it was dialed all the time
    upper.awaits_empty(a, "all")
    local reissues = ("1 3:1 3:2 3:3 3:4 3:5"):rep(3, " ")
    assert.equal("5 " .. reissues, story(all.frames))
    cars[VIN]:send(report(VIN, 6))
    all.await(20)
    assert.equal(report(VIN, 6), all.frames[20])
    assert.equal(report(VIN, 6), one.await(14))
    assert.equal(7, #two.frames)
    a:stop()
  end)
end)

describe("gbt32960 that cannot even dial", function()
  before_each(function() upper.folder = Host.folder() end)
  after_each(upper.end_spec)

  local function certify(folder)
    local code, _, err = Host.run("openssl", { "req", "-x509", "-newkey", "ec", "-pkeyopt",
      "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2, "-subj", "/CN=localhost", "-addext",
      "subjectAltName=IP:127.0.0.1", "-keyout", folder .. "/key.pem", "-out",
      folder .. "/cert.pem" })
    assert(code == 0, err)
  end

  it("tries again until it can, and loses nothing meanwhile", function()
    local folder = Host.folder()
    certify(folder)
    local b = Host.start { config = {
      plugins = { gbt32960 = { reissues = 100000 } },
      users = { { user = "operator", password = "secret" } },
      listeners = { { name = "gbt32960", adapter = "gbt32960", anonymous = true,
        tls = { cert = folder .. "/cert.pem", key = folder .. "/key.pem" } } },
    } }
    local trusted = folder .. "/trusted.pem"
    local a = host_a(b.ports.gbt32960, { tls = true, ca_file = trusted })
    a:log_line "trusted.pem"
    Host.eventually(function() return counted(a, "dial_errors") >= 3 end, "more attempts")
    local car = login(Host.connect(a.ports.gbt32960), VIN)
    for n = 1, 3 do car:send(report(VIN, n)) end
    upper.settle(car, VIN)
    assert.equal(4, upper.waiting(a))
    Host.write(trusted, Host.read(folder .. "/cert.pem"))
    upper.awaits_up(a)
    upper.awaits_empty(a)
    assert.equal(3, b:metric "tidegate_gbt32960_reissued")
    a:stop()
    b:stop()
  end)
end)
