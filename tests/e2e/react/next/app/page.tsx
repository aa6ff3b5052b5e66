// Rendered on the server, with the state that every page begins with.
import { Chat } from "../chat";
import { Turnwire } from "./turnwire";

export default async function Page({ searchParams }: { searchParams: Promise<{ c?: string }> }) {
  const { c } = await searchParams;
  return (
    <Turnwire>
      <Chat id={c} />
    </Turnwire>
  );
}
