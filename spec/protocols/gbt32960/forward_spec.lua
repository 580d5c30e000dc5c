-- SPDX-License-Identifier: Apache-2.0
-- Forwarding to an upper platform: what is handed on, in which order, and what cuts, refusals,
-- reloads and kill -9 do to it.
local Host = require "support.host"
local upper = dofile "spec/protocols/gbt32960/upper.lua"

local VIN, OTHER, PLATFORM = upper.VIN, upper.OTHER, upper.PLATFORM
local report, login, login_frame = upper.report, upper.login, upper.login_frame
local platform, host_a, counted = upper.platform, upper.host_a, upper.counted

describe("gbt32960 forwards to another host", function()
  before_each(function() upper.folder = Host.folder() end)
  after_each(upper.end_spec)

  it("live, then behind a cut and kill -9 what waited, as reissued, in order", function()
    local b = upper.host_b()
    local sub, between = upper.subscribe(b), upper.proxy(b.ports.gbt32960)
    local a = host_a(between.port)
    upper.awaits_up(a)
    local car = login(Host.connect(a.ports.gbt32960), VIN)
    assert.equal(1, upper.message(sub, PLATFORM .. "/platform_login").serial)
    upper.message(sub, VIN .. "/login")
    for n = 1, 10 do car:send(report(VIN, n)) end
    for n = 1, 10 do assert.equal(n, upper.number_of(upper.message(sub, VIN .. "/report"))) end
    upper.awaits_empty(a)

    between.set(true)
    for n = 11, 300 do car:send(report(VIN, n)) end
    upper.settle(car, VIN)
    Host.eventually(function() return upper.waiting(a) == 290 end, "290 that wait")
    a.process:kill "sigkill"
    a.process:wait()
    a = host_a(between.port)
    car = login(Host.connect(a.ports.gbt32960), VIN, 2)
    for n = 301, 310 do car:send(report(VIN, n)) end
    upper.settle(car, VIN)
    between.set(false)
    for n = 11, 310 do
      local got = upper.message(sub, VIN .. "/reissue")
      assert.equal(n, upper.number_of(got))
      assert.is_true(got.reissued)
    end
    car:send(report(VIN, 311))
    assert.equal(311, upper.number_of(upper.message(sub, VIN .. "/report")))
    upper.awaits_empty(a)
    assert.equal(300, counted(a, "reissued"))
    a:stop()
    assert.truthy(upper.message(sub, PLATFORM .. "/platform_logout").serial)
    sub:kill "sigterm"
    sub:wait()
    b:stop()
  end)
end)

describe("gbt32960 as the client of an upper platform", function()
  before_each(function() upper.folder = Host.folder() end)
  after_each(upper.end_spec)

  it("logs in with a serial that grows, hands frames on as they came, and logs out", function()
    local up, day = platform(), upper.day()
    local a = host_a(up.port, { vins = { VIN } })
    local first = up.await(1)
    assert.equal("##\5\xFE" .. PLATFORM .. "\1\0\41", first:sub(1, 24))
    assert.equal("\0\1operator\0\0\0\0secret" .. ("\0"):rep(14) .. "\1", first:sub(31, -2))
    upper.awaits_up(a)
    local car = login(Host.connect(a.ports.gbt32960), VIN)
    local other = login(Host.connect(a.ports.gbt32960), OTHER)
    other:send(report(OTHER, 1))
    upper.settle(other, OTHER)
    car:send(report(VIN, 1) .. report(VIN, 2))
    car:send(report(VIN, 0, "##", 3))
    car:send(upper.logout_frame(VIN, 1, 3))
    assert.equal(login_frame(VIN), up.await(2))
    assert.equal(report(VIN, 1), up.await(3))
    assert.equal(report(VIN, 2), up.await(4))
    assert.equal(report(VIN, 0, "##", 3), up.await(5))
    assert.equal(upper.logout_frame(VIN, 1, 3), up.await(6))
    a:stop()
    local last = up.await(7)
    assert.equal(6, last:byte(3))
    assert.equal("\0\1", last:sub(31, 32))
    a = host_a(up.port)
    local second = up.await(8):sub(31, 32)
    if upper.day() == day then assert.equal("\0\2", second) end -- it is the day's
    a:stop()
  end)

  it("tells the login of a vehicle again to a new link, before its frames", function()
    local up = platform()
    local a = host_a(up.port)
    local car = login(Host.connect(a.ports.gbt32960), VIN)
    assert.equal(1, up.await(2):byte(3))
    upper.close(up.conn)
    up.await(3)
    upper.awaits_up(a) -- logged in again
    car:send(report(VIN, 1))
    assert.equal(login_frame(VIN), up.await(4))
    assert.equal(report(VIN, 1), up.await(5)) -- the link was up when it came
    a:stop()
  end)

  it("gives up a link without answers, and sends again what had none", function()
    local silent = true
    local up = platform(function(one)
      if one:byte(3) == 5 or not silent then return 1 end
    end)
    local a = host_a(up.port, { answer_timeout = "300ms" })
    login(Host.connect(a.ports.gbt32960), VIN):send(report(VIN, 1))
    up.await(4) -- login, the vehicle's login, its report, login
    silent = false
    upper.awaits_empty(a)
    assert.equal(report(VIN, 1, "##", 3), up.frames[#up.frames])
    assert.is_true(counted(a, "unanswered") > 0)
    a:stop()
  end)

  it("tries what was refused again, three times, while others go on", function()
    local tries = 0
    local up = platform(function(one)
      if one:sub(5, 21) ~= VIN or one:byte(3) == 1 then return 1 end
      tries = tries + 1
      return 2
    end)
    local a = host_a(up.port, { retry = "200ms" })
    upper.awaits_up(a)
    local bad = login(Host.connect(a.ports.gbt32960), VIN)
    local good = login(Host.connect(a.ports.gbt32960), OTHER)
    bad:send(report(VIN, 1))
    for n = 1, 20 do good:send(report(OTHER, n)) end
    upper.settle(good, OTHER)
    Host.eventually(function()
      return counted(a, "given_up") == 1
    end, "the last try")
    upper.awaits_empty(a)
    assert.equal(3, tries)
    local reports = 0
    for _, one in ipairs(up.frames) do
      if one:sub(5, 21) == OTHER and one:byte(3) == 2 then reports = reports + 1 end
    end
    assert.equal(20, reports)
    a:stop()
  end)

  it("has one link after a reload: the old version's says good-bye first", function()
    local up = platform()
    local a = host_a(up.port)
    upper.awaits_up(a)
    local car = login(Host.connect(a.ports.gbt32960), VIN)
    for n = 1, 30 do car:send(report(VIN, n)) end
    assert.equal(0, (a:cli("reload", "gbt32960")))
    for n = 31, 60 do car:send(report(VIN, n)) end
    upper.settle(car, VIN)
    upper.awaits_empty(a)
    local order, numbers = {}, {}
    for _, one in ipairs(up.frames) do
      local cmd = one:byte(3)
      if cmd == 5 or cmd == 6 then order[#order + 1] = cmd end
      if cmd == 2 or cmd == 3 then numbers[#numbers + 1] = upper.number_of(one) end
    end
    assert.same({ 5, 6, 5 }, order)
    for n = 1, 60 do assert.equal(n, numbers[n]) end
    assert.equal(60, #numbers)
    a:stop()
  end)

  it("rests after three refused logins", function()
    local up = platform(function() return 2 end)
    local a = host_a(up.port, { retry = "20ms", login_wait = "10s" })
    up.await(3)
    a:log_line "takes no login"
    Host.pass(300)
    assert.equal(3, #up.frames)
    a:stop()
  end)

  it("says at the start what is wrong with an entry", function()
    for more, text in pairs {
      [{ port = 0 }] = "port: 1 to 65535", [{ vin = "x" }] = "no such option: vin",
      [{ vins = { "a/b" } }] = "vins: letters, digits and *", [{ edition = 2020 }] = "2016 or 2025",
    } do
      local link = { host = "x", port = 1, platform = "P", vins = { "*" } }
      for key, value in pairs(more) do link[key] = value end
      local path = Host.folder()
      local host = Host.start { config = {
        plugins = { gbt32960 = { forward = { link } } }, listeners = {},
        state_dir = path,
      } }
      assert.truthy(host:log_line(text), text)
      host:stop()
    end
  end)
end)
