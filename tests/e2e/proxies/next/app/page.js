export default function Page() {
  return <p>An app of its own.</p>;
}
