-- SPDX-License-Identifier: Apache-2.0
-- Whole conversations, as they stand in spec/data/conversations: what a device says, what it is
-- answered, what is published, with the time between.
local conversation = require "support.conversation"

local function files(folder)
  local pipe = assert(io.popen(("ls spec/data/conversations/%s/*.vec"):format(folder)))
  local out = {}
  for path in pipe:lines() do out[#out + 1] = path end
  pipe:close()
  return out
end

describe("conversations", function()
  for _, adapter in ipairs { "jt808", "gbt32960" } do
    for _, path in ipairs(files(adapter)) do
      it(("of %s go as written: %s"):format(adapter, path:match "([%w_]+)%.vec$"), function()
        local wrong, steps = conversation.play("protocols/" .. adapter, path)
        assert.is_nil(wrong)
        assert.is_true(steps > 3)
      end)
    end
  end

  it("that are written otherwise are found out", function()
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write("config {}\nconnect\n> 7e000200000138001380000001a97e\n< 00\n")
    file:close()
    local wrong = conversation.play("protocols/jt808", name)
    os.remove(name)
    assert.matches(":3: it sends\n    7e8001", wrong)
  end)
end)
