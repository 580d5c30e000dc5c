-- SPDX-License-Identifier: Apache-2.0
-- What a sanitizer finds fails the test, whatever becomes of the process in which it was found.
local Host = require "support.host"

local REPORTS = {
  "WARNING: ThreadSanitizer: data race (pid=1)",
  "==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1",
  "==1==ERROR: LeakSanitizer: detected memory leaks",
  "x.c:1:2: runtime error: signed integer overflow",
}

local function say(text, ending)
  return Host.spawn("sh", { "-c", ('echo "%s" >&2; %s'):format(text, ending) })
end

local function assert_fails_with(text)
  local fine, err = pcall(Host.cleanup)
  assert.is_false(fine)
  assert.truthy(err:find(text, 1, true), err)
end

describe("a sanitizer's report", function()
  after_each(function() pcall(Host.cleanup) end)

  for _, text in ipairs(REPORTS) do
    it(("fails the test of a process that goes on: %s"):format(text), function()
      local child = say(text, "exec sleep 60")
      Host.await(function() return child.err[1] end, "the report")
      assert_fails_with(text)
      Host.cleanup()
    end)
  end

  it("fails the test of a process that is killed, or that is expected to fail", function()
    for _, ending in ipairs { "kill -9 $$", "exit 66", "exit 0" } do
      say(REPORTS[1], ending):wait()
      assert_fails_with(REPORTS[1])
    end
    say("all is well", "exit 66"):wait()
    Host.cleanup()
  end)
end)
